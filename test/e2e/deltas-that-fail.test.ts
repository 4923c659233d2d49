import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { ask, textOf } from "../../simulations/bench/engines/docker.ts"
import { outcome } from "../../simulations/images/command.ts"
import { putImage } from "../../simulations/world/image-maker.ts"
import { EmbeddedRegistry } from "../../simulations/world/registry.ts"
import { DELTA_FORMATS } from "../../src/oci/delta.ts"
import { digestOf, tarball } from "../layers/tarballs.ts"
import {
  archiveOf, json, layoutFiles, loadHeard, type Parts, putParts, savedFiles, savedParts,
} from "./archives.ts"
import { BALENA, type Corner, type Engine, openCorner, whyNoEngine } from "./engine.ts"
import { furnishedEngine } from "./furnished.ts"
import { belongings, expectIntact } from "./intact.ts"
import { errorIn, type Heard, type Line, pull, UPDATE } from "./pulling.ts"

const BASE = "io.resin.delta.base"
const CONFIG = "io.resin.delta.config"
const EMPTY = Buffer.alloc(1024)
const TAG = "docker.io/library/applied:1"

type Labels = Readonly<Record<string, string>>

/** A delta as somebody bends it; `other` is the ID of another image that is here. */
type Bend = (delta: Parts, other: string) => Parts

const labelled = (delta: Parts, change: (labels: Labels) => Labels): Parts => {
  const config = JSON.parse(delta.config.toString())
  const Labels = { ...config.config.Labels, ...change(config.config.Labels) }
  return { ...delta, config: json({ ...config, config: { ...config.config, Labels } }) }
}
const payloadOf = ({ layers }: Parts): Buffer => {
  const size = Number.parseInt(layers[1]!.toString("latin1", 124, 136), 8)
  return layers[1]!.subarray(512, 512 + size)
}
/** With another delta in its upper layer; what its own configuration calls that does not count. */
const patched = (delta: Parts, change: (payload: Buffer) => Buffer): Parts => {
  const content = change(Buffer.from(payloadOf(delta)))
  return { ...delta, layers: [delta.layers[0]!, tarball({ path: "delta", content })] }
}
const flipped = (at: number) => (payload: Buffer): Buffer => {
  payload[at]! ^= 0xff
  return payload
}

/** Deltas that are refused, and why. */
const REFUSED: readonly (readonly [string, RegExp, Bend])[] = [
  ["whose base is not here", /^loading delta base image "(sha256:a+)": failed to get digest \1: /,
    (delta) => labelled(delta, () => ({ [BASE]: `sha256:${"a".repeat(64)}` }))],
  ["whose base is named by no digest", /^parsing base image "app:1": /,
    (delta) => labelled(delta, () => ({ [BASE]: "app:1" }))],
  ["of another base", /applying delta: the delta's base is not|the delta makes a tar with a/,
    (delta, other) => labelled(delta, () => ({ [BASE]: other }))],
  ["without a target", /^invalid delta image: /,
    (delta) => labelled(delta, () => ({ [CONFIG]: "" }))],
  ["of a target that is no JSON", /invalid image configuration: not JSON/,
    (delta) => labelled(delta, () => ({ [CONFIG]: "{broken" }))],
  ["of a target of fewer layers", /^layers from manifest don't match image configuration$/,
    (delta) => labelled(delta, (labels) => ({
      [CONFIG]: JSON.stringify({
        ...JSON.parse(labels[CONFIG]!), rootfs: { type: "layers", diff_ids: [digestOf(EMPTY)] },
      }),
    }))],
  ["of another target", /layers from manifest don't match image configuration/,
    (delta) => labelled(delta, (labels) => ({
      [CONFIG]: labels[CONFIG]!.replace(/[0-9a-f]{64}(?="\]\}\}$)/, "e".repeat(64)),
    }))],
  ["that makes a delta", /^invalid delta image: what it makes is a delta itself/,
    (delta) => labelled(delta, () => ({ [CONFIG]: delta.config.toString() }))],
  ["of fewer layers than its target", /^layers from manifest don't match image configuration$/,
    (delta) => ({
      ...delta,
      layers: delta.layers.slice(1),
      config: json({
        ...JSON.parse(delta.config.toString()),
        rootfs: { type: "layers", diff_ids: [digestOf(delta.layers[1]!)] },
      }),
    })],
  ["with a layer that is empty", /unexpected EOF, invalid delta tar archive/,
    (delta) => ({ ...delta, layers: [delta.layers[0]!, EMPTY] })],
  ["with a layer that says nothing", /unexpected EOF/,
    (delta) => patched(delta, () => Buffer.alloc(0))],
  ["with a layer of neither format", /Got magic number|it is no delta/,
    (delta) => patched(delta, flipped(1))],
  ["with half of a layer", /unexpected EOF|it ends too early/,
    (delta) => patched(delta, (payload) => payload.subarray(0, payload.length >> 1))],
  ["with a byte that has changed", /the delta makes a tar with a|a frame's checksum does not/,
    (delta) => patched(delta, flipped(40))],
  ["with layers in each other's place", /unexpected EOF, invalid delta tar archive/,
    (delta) => ({ ...delta, layers: delta.layers.toReversed() })],
]

/** How a delta reaches the engine, under `TAG` or the name of a registry. */
type Way = (engine: Engine, registry: EmbeddedRegistry, delta: Parts) => Promise<Heard>

const WAYS: readonly (readonly [string, Way])[] = [
  ["pulled", (engine, registry, delta) => {
    putParts(registry, "app", delta, { tag: "delta" })
    return pull(engine, `${registry.host}/app:delta`)
  }],
  ["loaded from docker save's archive", (engine, _, delta) =>
    loadHeard(engine, archiveOf(savedFiles({ ...delta, tag: TAG })))],
  ["loaded from an OCI layout", (engine, _, delta) =>
    loadHeard(engine, archiveOf(layoutFiles({ ...delta, tag: TAG })))],
]

describe.skipIf(whyNoEngine() !== null)("a delta", () => {
  const device = furnishedEngine("applies")
  let corner: Corner
  let maker: Engine
  let origin: EmbeddedRegistry
  const ids = { 1: "", 2: "" }
  const deltas = new Map<string, Parts>()
  const name = (version: 1 | 2) => `${origin.host}/app:v${version}`

  beforeAll(async () => {
    corner = await openCorner()
    origin = await EmbeddedRegistry.start()
    maker = await corner.start({ name: "maker" })
    for (const version of [1, 2] as const) {
      const image = { repository: "app", tags: [`v${version}`], layers: UPDATE[version] }
      ids[version] = putImage(origin, { ...image, dialect: "docker" }).imageId
      expect(errorIn(await pull(maker, name(version)))).toBeNull()
    }
    for (const format of DELTA_FORMATS) {
      const tag = `app:${format}`
      const heard = await make(`src=${name(1)}&dest=${name(2)}&t=${tag}&format=${format}`)
      expect(errorIn(heard)).toBeNull()
      const archive = join(corner.root, `${format}.tar`)
      await maker.done(["save", "--output", archive, tag])
      deltas.set(format, savedParts(archive))
    }
  })
  afterAll(async () => {
    expect(await maker.stop()).toBe(0)
    await origin.close()
    await corner[Symbol.asyncDispose]()
  })

  const make = async (query: string): Promise<Heard> => {
    const answer = await ask(maker.place.socket, "POST", `/images/delta?${query}`)
    const lines = (await textOf(answer)).split("\n").filter(Boolean)
    return { status: answer.status, lines: lines.map((line): Line => JSON.parse(line)) }
  }
  /** What was said in the stream, as nothing else is once it has begun. */
  const saidIn = ({ status, lines }: Heard): string => {
    const { error } = lines.at(-1)!
    expect([status, lines.at(-1)]).toEqual([200, { error, errorDetail: { message: error } }])
    return error!
  }
  /** Changes a byte of the upper layer of an image, behind the engine's back. */
  const rot = async (engine: Engine, reference: string): Promise<() => void> => {
    const { GraphDriver } = JSON.parse(await engine.done(["inspect", reference]))[0]
    const big = join(GraphDriver.Data.UpperDir, "big")
    const flip = (): void => {
      const bytes = readFileSync(big)
      bytes[200_000]! ^= 1
      writeFileSync(big, bytes)
    }
    flip()
    return flip
  }

  describe.each(DELTA_FORMATS)("%s:", (format) => {
    describe.each(WAYS)("%s,", (_, way) => {
      const arrives = async (bend: Bend = (delta) => delta): Promise<Heard> =>
        way(
          device.engine, await device.registry(),
          bend(deltas.get(format)!, device.before.images[0]!),
        )
      const withBase = async (work: () => Promise<void>): Promise<void> => {
        expect(errorIn(await pull(device.engine, name(1)))).toBeNull()
        await work()
        await device.engine.done(["rmi", name(1)])
      }

      test.each(REFUSED)("%s, is refused, and nothing of it is left", (_, words, bend) =>
        withBase(async () => {
          const before = await belongings(device.engine)
          expect(saidIn(await arrives(bend))).toMatch(words)
          await expectIntact(device.corner, before)
        }))

      test("whose base has rotted, is refused; once that is well, it makes its target", () =>
        withBase(async () => {
          const before = await belongings(device.engine)
          const heal = await rot(device.engine, name(1))
          expect(saidIn(await arrives()))
            .toMatch(/^the delta's base image: layer damaged: .*big/)
          heal()
          await expectIntact(device.corner, before)
          expect(errorIn(await arrives())).toBeNull()
          const { images } = await belongings(device.engine)
          expect(images).toEqual([...before.images, ids[2]].toSorted())
          await device.engine.done(["rmi", ids[2]])
        }))
    })
  })

  describe("that cannot be made,", () => {
    const DIGEST = `a@sha256:${"a".repeat(64)}`
    type Query = readonly [src: string, dest: string, more?: string]
    /** Queries by what stands in for the names of the images that are here. */
    const WRONG: readonly (readonly [string, number, RegExp, (...names: string[]) => Query])[] = [
      ["an unknown base", 404, /^no such image: nope: No such image: nope:latest$/, (_, two) =>
        ["nope", two!]],
      ["an unknown target", 404, /^no such image: nope: No such image: nope:latest$/, (one) =>
        [one!, "nope"]],
      ["a base that is a delta", 400, /^app:rsync is a delta itself: name the images/, (_, two) =>
        ["app:rsync", two!]],
      ["a target that is a delta", 400, /^app:rsync is a delta itself: name the images/, (one) =>
        [one!, "app:rsync"]],
      ["a tag with a digest", 400, /^build tag cannot contain a digest$/, (one, two) =>
        [one!, two!, `&t=${DIGEST}`]],
      ["a tag that is none", 400, /^invalid reference format/, (one, two) =>
        [one!, two!, "&t=a b"]],
      ["a format that is none", 400, /^format is one of rsync, framed$/, (one, two) =>
        [one!, two!, "&format=zip"]],
    ]
    describe.each([["", ""], [", with --push", "&push=1"]])("is not begun%s:", (_, push) => {
      test.each(WRONG)("%s", async (_, status, message, query) => {
        const before = await belongings(maker)
        const [src, dest, more = ""] = query(name(1), name(2))
        expect(await make(`src=${src}&dest=${dest}${more.replace(" ", "%20")}${push}`))
          .toEqual({ status, lines: [{ message: expect.stringMatching(message) }] })
        await expectIntact(corner, before)
      })
    })

    test("is not begun where nobody would find it", async () => {
      const before = await belongings(maker)
      expect(await make(`src=${name(1)}&dest=${ids[2]}&push=1`)).toEqual({
        status: 400,
        lines: [{ message: `${ids[2]} names no repository to push the delta to` }],
      })
      await maker.done(["tag", name(2), "elsewhere:2"])
      expect(await make(`src=${name(1)}&dest=elsewhere:2&push=1`)).toEqual({
        status: 400,
        lines: [{ message: "elsewhere is not known to have elsewhere:2: push it first" }],
      })
      await maker.done(["rmi", "elsewhere:2"])
      await expectIntact(corner, before)
    })

    test.each(DELTA_FORMATS)("%s, is given up: an image has rotted", async (format) => {
      const before = await belongings(maker)
      for (const version of [1, 2] as const) {
        const heal = await rot(maker, name(version))
        for (const more of ["t=app:rotten", "push=1"]) {
          const query = `src=${name(1)}&dest=${name(2)}&format=${format}&${more}`
          expect(saidIn(await make(query))).toMatch(/layer damaged: .*big/)
        }
        heal()
        await expectIntact(corner, before)
      }
    })

    test("reads well in the CLI", async () => {
      const said = await outcome(BALENA, [
        "-H", `unix://${maker.place.socket}`, "image", "delta", name(1), "nope",
      ])
      expect([said.code, said.stderr.trim()]).toEqual([
        1, "Error response from daemon: no such image: nope: No such image: nope:latest",
      ])
    })
  })
})
