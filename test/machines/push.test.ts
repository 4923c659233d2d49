import { describe, expect, test } from "vitest"
import { walk } from "./walk.ts"

const push = { type: "push", reference: "a:1", imageId: "i" }
const blob = { digest: "d", size: 1, mediaType: "m" }
const laid = { type: "laid", layer: "layer/a", how: "pushed", from: null, place: {}, ...blob }
const uploaded = { type: "uploaded", layers: [blob] }
const published = { type: "published", digest: "e", size: 2, row: {} }
const failed = { type: "pushFailed", reason: "unauthorized", cause: "why" }
const abandon = { type: "abandon" }

const GONE = "store.imageUnstaged, layer.sweep"

describe("push", () => {
  test("holds what it sends before a byte of it goes, and lets go at its end", () => {
    const { lines, state } = walk("push", [push, laid, uploaded, published])
    expect(lines).toEqual([
      'push -> uploading: store.pushStaged{"imageId":"i"}, push.upload{"reference":"a:1"}',
      'laid -> uploading: store.blobKnown{"layer":"layer/a","place":{},' +
      '"blob":{"digest":"d","size":1,"mediaType":"m"}}',
      `uploaded -> publishing: push.publish{"reference":"a:1","layers":[${JSON.stringify(blob)}]}`,
      `published -> pushed: store.imagePresent{"row":{}}, ${GONE}`,
    ])
    expect(state).toBe("pushed")
  })
  test.each([
    ["in the midst of layers", [push], "push.upload"],
    ["at the manifest", [push, uploaded], "push.publish"],
  ])("ends with its client: %s", (_when, before, command) => {
    const { lines } = walk("push", [...before, abandon])
    expect(lines.at(-1)).toBe(`abandon -> failed: loop.cancel{"command":"${command}"}, ${GONE}`)
  })
  test.each([[[push]], [[push, uploaded]]])("a refusal gives everything back", (before) => {
    const { lines, snapshot } = walk("push", [...before, failed])
    expect(lines.at(-1)).toBe(`pushFailed -> failed: ${GONE}`)
    expect(snapshot.context.failure).toEqual({ reason: "unauthorized", cause: "why" })
  })
  test("whose snapshot cannot be read is given up", () => {
    expect(walk("push", [{ type: "reborn" }]).lines).toEqual([`reborn -> failed: ${GONE}`])
  })
})
