import { describe, expect, test } from "vitest"
import { walk } from "./walk.ts"

const source = { kind: "registry", digest: "sha256:b" }
const pull = { type: "pull", reference: "docker.io/library/app:1", platform: null }
const resolved = {
  type: "resolved", imageId: "sha256:i", digest: "sha256:m", row: {},
  layers: [{ address: "layer/a.bottom", source }, { address: "layer/b", source }],
}
const ready = (from: string) => ({ type: "layerReady", from })
const failed = (from: string, reason: string) => ({
  type: "layerFailed",
  from,
  reason,
  cause: "why",
})

describe("image", () => {
  test("a pull leases and wants every layer, and shows the image with the last", () => {
    const { lines } = walk("image", [pull, resolved, ready("layer/b"), ready("layer/a.bottom")])
    expect(lines[1]).toContain("store.imageStaged")
    expect(lines[1]).toContain('{"to":"layer/a.bottom","event":{"type":"want"')
    expect(lines[2]).toBe("layerReady -> fetching")
    expect(lines[3]).toBe('layerReady -> ready: store.imageReady{"imageId":"sha256:i"}')
  })
  test.each([
    ["an image that is here already only moves its names",
      [pull, { type: "present", imageId: "i", digest: "d", row: {} }],
      "present",
    ],
    ["two clients share one pull", [pull, pull, resolved, pull], "fetching"],
    ["a pull nobody waits for any more is parked", [pull, resolved, { type: "abandon" }], "parked"],
    ["asking again goes on", [pull, resolved, { type: "abandon" }, pull], "resolving"],
    ["parked for a day it is forgotten",
      [pull, resolved, { type: "abandon" }, { type: "xstate.after.patience.image.parked" }],
      "forgotten",
    ],
    ["credentials lost in a crash park it",
      [pull, resolved, failed("layer/a.bottom", "credentials")],
      "parked",
    ],
    ["a layer that fails fails it",
      [pull, resolved, failed("layer/a.bottom", "digestMismatch")],
      "failed",
    ],
    ["an image without layers is ready at once", [pull, { ...resolved, layers: [] }], "ready"],
    ["a registry that has no such image",
      [pull, { type: "resolveFailed", reason: "notFound", cause: "" }],
      "failed",
    ],
  ])("%s", (_promise, events, ends) => {
    const walked = walk("image", events)
    expect(walked.lines.filter((line) => line.endsWith("refused"))).toEqual([])
    expect(walked.state).toBe(ends)
  })
  test("a failed pull lets go of what it still waited for, and has the rest swept", () => {
    const { lines } = walk("image", [pull, resolved, failed("layer/a.bottom", "damaged")])
    expect(lines[2]).toContain('{"to":"layer/b","event":{"type":"unwant"}}')
    expect(lines[2]).not.toContain('"layer/a.bottom","event"')
    expect(lines[2]).toContain("layer.sweep")
  })
  test("a full disk is said to the engine", () => {
    const { lines } = walk("image", [pull, resolved, failed("layer/a.bottom", "noSpace")])
    expect(lines[2]).toContain('{"to":"engine","event":{"type":"spaceShort"}}')
  })
})

const want = (from: string) => ({ type: "want", source, from })
const unwant = (from: string) => ({ type: "unwant", from })
const fetched = { type: "fetched", bytes: 1, tarBytes: 2, entries: 3, source }
const fetchFailed = (reason: string) => ({ type: "fetchFailed", reason, cause: "why" })
const drop = { type: "drop" }
const dropped = { type: "dropped" }

describe("layer", () => {
  test("two images share one fetch, and both hear of its end", () => {
    const { lines } = walk("layer", [want("image/1"), want("image/2"), fetched])
    expect(lines.filter((line) => line.includes("layer.fetch"))).toHaveLength(1)
    expect(lines[2]).toContain('{"to":"image/1","event":{"type":"layerReady"}},{"to":"image/2"')
  })
  test("the last one to leave parks it, the first does not", () => {
    const { lines } = walk("layer", [
      want("image/1"),
      want("image/2"),
      unwant("image/1"),
      unwant("image/2"),
    ])
    expect(lines[2]).toBe("unwant -> fetching")
    expect(lines[3]).toBe('unwant -> parked: loop.cancel{"command":"layer.fetch"}')
  })
  test.each([
    ["wanted again, a parked layer goes on", [want("i"), unwant("i"), want("i")], "fetching"],
    ["a passing failure keeps what has come", [want("i"), fetchFailed("unreachable")], "parked"],
    ["a damaged layer is taken away",
      [want("i"), fetchFailed("digestMismatch"), dropped],
      "dropped",
    ],
    ["wanted while it is taken away, it is fetched anew",
      [want("i"), fetched, drop, want("j"), dropped],
      "fetching",
    ],
    ["a disk that does not let go is tried again",
      [want("i"), fetched, drop, { type: "dropFailed", cause: "EBUSY" },
        { type: "xstate.after.again.layer.stuck" }, dropped],
      "dropped",
    ],
    ["here already, it is ready for whoever asks", [want("i"), fetched, want("j")], "ready"],
  ])("%s", (_promise, events, ends) => {
    expect(walk("layer", events).state).toBe(ends)
  })
  test("a checkpoint is forgotten before its files are", () => {
    const { lines } = walk("layer", [want("i"), unwant("i"), drop])
    expect(lines[2]).toBe("drop -> dropping: store.layerDropping, store.layerUnready, layer.drop")
  })
})

describe("engine", () => {
  test.each([
    ["comes up", [{ type: "boot", reboot: false }, { type: "recovered" }], "up"],
    ["comes up again after a crash",
      [{ type: "boot", reboot: false }, { type: "recovered" }, { type: "boot", reboot: true }],
      "starting",
    ],
    ["makes room when there is none",
      [{ type: "boot", reboot: false }, { type: "recovered" }, { type: "spaceShort" },
        { type: "reclaimed" }],
      "up",
    ],
    ["drains, even while it makes room",
      [{ type: "boot", reboot: false }, { type: "recovered" }, { type: "spaceShort" },
        { type: "drain" }, { type: "reclaimed" }, { type: "drained" }],
      "down",
    ],
  ])("%s", (_promise, events, ends) => {
    expect(walk("engine", events).state).toBe(ends)
  })
})
