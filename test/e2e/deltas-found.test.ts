import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { ask, textOf } from "../../simulations/bench/engines/docker.ts"
import { type MadeImage, putImage } from "../../simulations/world/image-maker.ts"
import { EmbeddedRegistry } from "../../simulations/world/registry.ts"
import { deltaAnnotations } from "../../src/oci/delta.ts"
import { MEDIA } from "../../src/oci/manifest.ts"
import { putParts, savedParts } from "./archives.ts"
import { type Corner, type Engine, openCorner, whyNoEngine } from "./engine.ts"
import { belongings, expectIntact } from "./intact.ts"
import { errorIn, pull, UPDATE, USES_DELTA as USES } from "./pulling.ts"

interface Delta {
  readonly digest: string
  readonly layers: readonly { readonly digest: string; readonly size: number }[]
}

describe.skipIf(whyNoEngine() !== null)("a delta that a pull finds by itself", () => {
  let corner: Corner
  let engine: Engine
  let registry: EmbeddedRegistry
  let images: { readonly 1: MadeImage; readonly 2: MadeImage }
  let archive: string
  /** A data root that has the first image, of an engine that does not run. */
  let store: string

  const put = (version: 1 | 2): MadeImage =>
    putImage(registry, {
      repository: "app", tags: [`v${version}`], layers: UPDATE[version], dialect: "docker",
    })
  const name = (version: 1 | 2): string => `${registry.host}/app:v${version}`

  /** Puts up the delta that was made, as the subject of the second image. */
  const putDelta = (): Delta => {
    const { config, layers } = savedParts(archive)
    const bytes = layers.reduce((sum, tar) => sum + gzipSync(tar).length, 0)
    const subject = {
      mediaType: images[2].mediaType, digest: images[2].digest, size: images[2].manifestBytes,
    }
    const annotations = deltaAnnotations({ base: images[1].imageId, bytes })
    const put = putParts(registry, "app", { config, layers }, { more: { subject, annotations } })
    const { digest, bytes: size } = put
    const index = Buffer.from(JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA.ociIndex,
      manifests: [{ mediaType: MEDIA.ociManifest, digest, size, annotations }],
    }))
    const tag = images[2].digest.replace(":", "-")
    registry.addManifest("app", MEDIA.ociIndex, index, tag)
    return put
  }

  beforeAll(async () => {
    corner = await openCorner()
    engine = await corner.start({ name: "finds" })
    registry = await EmbeddedRegistry.start()
    images = { 1: put(1), 2: put(2) }
    const maker = await corner.start({ name: "makes" })
    for (const version of [1, 2] as const) await pull(maker, name(version))
    const query = `src=${name(1)}&dest=${name(2)}&t=app:delta`
    const answer = await ask(maker.place.socket, "POST", `/images/delta?${query}`)
    expect(await textOf(answer)).toContain("Created delta: sha256:")
    archive = join(corner.root, "delta.tar")
    await maker.done(["save", "--output", archive, "app:delta"])
    await maker.done(["rmi", "app:delta", name(2)])
    expect(await maker.stop()).toBe(0)
    store = maker.place.dataRoot
    await registry.close()
  })
  beforeEach(async () => {
    registry = await EmbeddedRegistry.start()
    images = { 1: put(1), 2: put(2) }
  })
  afterEach(async () => {
    for (const version of [2, 1] as const) await engine.docker(["rmi", name(version)])
    await expectIntact(corner, { ...await belongings(engine), images: [], containers: "" })
    await registry.close()
  })
  afterAll(async () => {
    expect(await engine.stop()).toBe(0)
    await corner[Symbol.asyncDispose]()
  })

  const pullFirst = () => pull(engine, name(1))

  /** Pulls the second image: the same image, digest and tag, however it came. */
  const pullSecond = async () => {
    const heard = await pull(engine, name(2))
    expect(errorIn(heard)).toBeNull()
    const said = heard.lines.map(({ status }) => status)
    expect(said).toContain(`Digest: ${images[2].digest}`)
    expect(said.at(-1)).toBe(`Status: Downloaded newer image for ${name(2)}`)
    const { Id, RepoDigests, RepoTags } = JSON.parse(await engine.done(["inspect", name(2)]))[0]
    expect({ Id, RepoDigests, RepoTags }).toEqual({
      Id: images[2].imageId,
      RepoDigests: [`${registry.host}/app@${images[2].digest}`],
      RepoTags: [name(2)],
    })
    return said
  }
  const bytesOf = (layers: readonly { readonly digest: string }[]): number =>
    layers.reduce((sum, { digest }) => sum + registry.bytesSent(digest), 0)

  test.each([true, false])("is fetched in its place (referrers listed: %s)", async (referrers) => {
    await registry.close()
    registry = await EmbeddedRegistry.start({ referrers })
    images = { 1: put(1), 2: put(2) }
    const delta = putDelta()
    await pull(engine, name(1))
    const before = bytesOf(images[2].layers)
    const said = await pullSecond()
    expect(said.filter((line) => USES.test(line ?? ""))).toHaveLength(1)
    expect(bytesOf(images[2].layers)).toBe(before)
    expect(bytesOf(delta.layers)).toBeLessThan(5000)
  })

  test("is of no use without its base", async () => {
    putDelta()
    const said = await pullSecond()
    expect(said.filter((line) => USES.test(line ?? ""))).toEqual([])
  })

  test("gives way to the whole layer where it is damaged", async () => {
    const delta = putDelta()
    const name = delta.layers[1]!.digest
    registry.inject({ on: "blob", name, misdeed: { do: "corrupt", at: 90 } })
    await pullFirst()
    const said = await pullSecond()
    expect(said.filter((line) => USES.test(line ?? ""))).toHaveLength(1)
    expect(bytesOf(images[2].layers)).toBeGreaterThan(400_000)
  })

  test("gives way where the base is damaged", async () => {
    putDelta()
    await pull(engine, name(1))
    const { GraphDriver } = JSON.parse(await engine.done(["inspect", name(1)]))[0]
    const big = join(GraphDriver.Data.UpperDir, "big")
    const bytes = readFileSync(big)
    bytes[200_000]! ^= 1
    writeFileSync(big, bytes)
    await pullSecond()
    expect(bytesOf(images[2].layers)).toBeGreaterThan(400_000)
  })

  test("has its base in the delta store, and takes from there what both images share", async () => {
    const delta = putDelta()
    const args = ["--delta-data-root", store, "--delta-storage-driver", "overlay2"]
    const second = await corner.start({ name: "host", args })
    const heard = await pull(second, name(2))
    expect(errorIn(heard)).toBeNull()
    expect(heard.lines.filter(({ status }) => USES.test(status ?? ""))).toHaveLength(1)
    expect(bytesOf(images[2].layers) + registry.bytesSent(delta.layers[0]!.digest)).toBe(0)
    expect((await belongings(second)).images).toHaveLength(1)
    await second.done(["rmi", name(2)])
    await expectIntact(corner, { ...await belongings(second), images: [], containers: "" })
    expect(await second.stop()).toBe(0)
  })

  test("is not missed where the registry does not say", async () => {
    putDelta()
    registry.inject({ on: "referrers", misdeed: { do: "answer", status: 500 } })
    registry.inject({
      on: "manifest", name: images[2].digest.replace(":", "-"),
      misdeed: { do: "answer", status: 500 },
    })
    await pull(engine, name(1))
    await pullSecond()
  })
})
