import { rmSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { describe, expect, test } from "vitest"
import { ask } from "../../simulations/bench/engines/docker.ts"
import { BadLink } from "../../simulations/world/bad-link.ts"
import { EmbeddedRegistry } from "../../simulations/world/registry.ts"
import { DELTA_FORMATS, deltaAnnotations } from "../../src/oci/delta.ts"
import { MEDIA } from "../../src/oci/manifest.ts"
import { digestOf, noise, tarball } from "../layers/tarballs.ts"
import {
  archiveOf, load, loadHeard, type Parts, partsOf, putParts, savedFiles, savedParts,
} from "./archives.ts"
import { type Engine, whyNoEngine } from "./engine.ts"
import { fullDisk } from "./full.ts"
import { belongings, expectIntact } from "./intact.ts"
import { beginPull, errorIn, type Heard, type Line, USES_DELTA } from "./pulling.ts"
import { push, type PushHeard, statusesOf } from "./pushing.ts"

const MIB = 2 ** 20
const DISK_MIB = 160
/** Of which so many MiB are kept. */
const RESERVE = 32

const NO_ROOM = /^no space left on device: the engine cannot write down what it is asked to /
const NO_SPACE = /no space left on device/
const NEARLY = /^the disk is nearly full: /
/** Who looks first has the word. */
const FULL = /^the disk is nearly full: |no space left on device/

/** Three layers of noise. */
const noisy = (version: number): Parts =>
  partsOf(`app:${version}`, [1, 2, 3].map((n) =>
    tarball({ path: `noise-${n}`, content: noise(MIB, 10 * version + n) })))
/** Two images that have nothing in common: a delta is as large as its target. */
const [OLD, NEW] = [noisy(1), noisy(2)]
const archived = (parts: Parts): Buffer => archiveOf(savedFiles(parts))

/** Makes the delta to the end; `seen` sees each line. */
const made = async (
  engine: Engine, query: string, seen: (line: Line) => void = () => {},
): Promise<Heard> => {
  const path = `/images/delta?src=app:1&dest=app:2&${query}`
  const { body, status } = await ask(engine.place.socket, "POST", path)
  const lines: Line[] = []
  for await (const text of createInterface(body)) {
    const line: Line = JSON.parse(text)
    lines.push(line)
    seen(line)
  }
  return { status, lines }
}

describe.skipIf(whyNoEngine() !== null)("on a disk that is full", () => {
  const deltas = new Map<string, Parts>()
  const disk = fullDisk(DISK_MIB, async ({ corner, engine }) => {
    for (const parts of [OLD, NEW]) expect(await load(engine, archived(parts))).toBeNull()
    for (const format of DELTA_FORMATS) {
      expect(errorIn(await made(engine, `t=app:delta&format=${format}`))).toBeNull()
      deltas.set(format, await saved(corner.root, engine))
      await engine.done(["rmi", "app:delta"])
    }
  })

  /** The delta that was made, as it is saved. */
  const saved = async (directory: string, engine: Engine): Promise<Parts> => {
    const path = join(directory, "delta.tar")
    await engine.done(["save", "--output", path, "app:delta"])
    try {
      return savedParts(path)
    } finally {
      rmSync(path)
    }
  }
  const saidIn = ({ status, lines }: Heard): string => {
    const { error } = lines.at(-1)!
    expect([status, lines.at(-1)]).toEqual([200, { error, errorDetail: { message: error } }])
    return error!
  }
  /** Has work done where the target is not, which it then makes; and brings it back. */
  const withoutTarget = async (work: () => Promise<string>): Promise<void> => {
    const { engine } = disk
    await engine.done(["rmi", "app:2"])
    const name = await work()
    expect((await engine.done(["images", "--quiet", "--no-trunc", name])).trim())
      .toBe(digestOf(NEW.config))
    expect((await belongings(engine)).images).toEqual(disk.before.images)
    await engine.done(["tag", name, "app:2"])
    await engine.done(["rmi", name])
  }

  describe.each(DELTA_FORMATS)("%s: a delta", (format) => {
    const wanted = `t=app:delta&format=${format}`
    const make = (seen?: (line: Line) => void) => made(disk.engine, wanted, seen)
    /** Made again it is what it was to be. */
    const makesNow = async (): Promise<void> => {
      disk.filler.drop()
      expect(errorIn(await make())).toBeNull()
      const delta = await saved(disk.corner.root, disk.engine)
      await disk.engine.done(["rmi", "app:delta"])
      await withoutTarget(async () => {
        expect(await load(disk.engine, archived({ ...delta, tag: "app:made" }))).toBeNull()
        return "app:made"
      })
    }

    const MOMENTS: readonly (readonly [string, number, RegExp])[] = [
      ["while it is made", RESERVE + 1.5, NEARLY],
      ["once it is made, as an image,", RESERVE + 3.5, NEARLY],
      ["as others take it", 0, FULL],
    ]
    test.each(MOMENTS)("that has no room %s ends, says so, and leaves nothing", async (
      _, leave, words,
    ) => {
      let toFill = leave === 0
      if (!toFill) disk.filler.leave(leave * MIB)
      const heard = await make((line) => {
        if (!toFill || line.status !== "Delta complete") return
        disk.fill()
        toFill = false
      })
      expect(saidIn(heard)).toMatch(words)
      if (leave > 0) expect(disk.hasBallast()).toBe(true)
      await disk.answers()
      await expectIntact(disk.corner, disk.before)
      await makesNow()
    })

    test("that is found, and whose room others take, ends, and is found again", () =>
      withoutTarget(async () => {
        const { corner, engine, filler, registry } = disk
        const before = await belongings(engine)
        const whole = putParts(registry, "app", NEW, { tag: "found" })
        const delta = deltas.get(format)!
        const put = putParts(registry, "app", delta, {
          more: {
            subject: { digest: whole.digest, size: whole.bytes },
            annotations: deltaAnnotations({ base: digestOf(OLD.config), bytes: 1 }),
          },
        })
        const index = {
          schemaVersion: 2,
          manifests: [{
            mediaType: MEDIA.ociManifest, digest: put.digest, size: put.bytes,
            annotations: deltaAnnotations({ base: digestOf(OLD.config), bytes: 1 }),
          }],
        }
        const tag = whole.digest.replace(":", "-")
        registry.addManifest("app", MEDIA.ociIndex, Buffer.from(JSON.stringify(index)), tag)
        const [last] = put.layers.slice(-1)
        const misdeed = { do: "slow", bytesPerS: MIB } as const
        registry.inject({ on: "blob", name: last!.digest, misdeed })
        const sent = () => whole.layers.reduce((n, { digest }) => n + registry.bytesSent(digest), 0)
        const since = sent()
        const heard = async (toFill: boolean) => {
          const pulling = await beginPull(engine, `${registry.host}/app:found`)
          const lines: Line[] = []
          for await (const line of pulling) {
            lines.push(line)
            if (!toFill || line.status !== "Extracting") continue
            disk.fill()
            toFill = false
          }
          expect(lines.filter(({ status }) => USES_DELTA.test(status ?? ""))).toHaveLength(1)
          return { status: pulling.status, lines }
        }
        expect(saidIn(await heard(true))).toMatch(FULL)
        await expectIntact(corner, before)
        filler.drop()
        registry.heal()
        expect(errorIn(await heard(false))).toBeNull()
        expect(sent()).toBe(since) // the layers themselves need no less room
        return `${registry.host}/app:found`
      }))

    test.each([
      ["as it comes", 0, NO_SPACE], ["as it is applied", RESERVE + 1, NEARLY],
    ])("that is loaded and has no room %s ends, says so, and leaves nothing", (_, leave, words) =>
      withoutTarget(async () => {
        const before = await belongings(disk.engine)
        const archive = archived({ ...deltas.get(format)!, tag: "app:loaded" })
        disk.filler.leave(leave * MIB)
        const { lines } = await loadHeard(disk.engine, archive)
        expect(errorIn({ status: 0, lines })).toMatch(words)
        await expectIntact(disk.corner, before)
        disk.filler.drop()
        expect(await load(disk.engine, archive)).toBeNull()
        return "app:loaded"
      }))
  })

  test("a delta is not begun where not even that can be written down", async () => {
    await disk.starve()
    expect(saidIn(await made(disk.engine, ""))).toMatch(NO_ROOM)
    await disk.answers()
    disk.filler.drop()
    await disk.engine.done(["rmi", "starved"])
  })

  describe("a push", () => {
    const named = async (host: string, work: (name: string) => Promise<void>): Promise<void> => {
      const name = `${host}/pushed`
      await disk.engine.done(["tag", "app:2", `${name}:1`])
      await work(name)
      await disk.engine.done(["rmi", `${name}:1`])
    }
    const send = (name: string, until?: (line: Line) => boolean) =>
      push(disk.engine.place.socket, name, "1", until === undefined ? {} : { until })
    const expectPushed = (heard: PushHeard): void => {
      expect(errorIn(heard)).toBeNull()
      expect(statusesOf(heard)).toContain("aux")
    }

    test("needs room for rows only, and has the ballast for them", () =>
      named(disk.registry.host, async (name) => {
        disk.filler.leave(0)
        expectPushed(await send(name))
        disk.filler.drop()
      }))

    test("is refused without it; with room again it goes", () =>
      named(disk.registry.host, async (name) => {
        await disk.starve()
        expect(saidIn(await send(name))).toMatch(NO_ROOM)
        await disk.answers()
        disk.filler.drop()
        await disk.engine.done(["rmi", "starved"])
        expectPushed(await send(name))
      }))

    test("in the midst of which the last room goes ends once there is some", async () => {
      const registry = await EmbeddedRegistry.start() // that has none of its layers
      const link = await BadLink.start({ to: registry.host, bytesPerS: MIB, way: "up" })
      const starve = async (): Promise<void> => {
        await disk.starve()
        link.slow(Infinity)
        await disk.answers()
        disk.filler.drop()
      }
      await named(link.host, async (name) => {
        let starving: Promise<void> | undefined
        const heard = await send(name, ({ status }) => {
          if (status === "Pushing") starving ??= starve()
          return false
        })
        expect(starving).toBeDefined()
        await starving
        expectPushed(heard)
        await disk.engine.done(["rmi", "starved"])
      })
      await link.close()
      await registry.close()
    })
  })
})
