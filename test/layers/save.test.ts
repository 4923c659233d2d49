import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import * as tar from "tar-stream"
import { describe, expect, it } from "vitest"
import { LayerDamaged } from "../../src/layers/damage.ts"
import { saveArchive, saveStream } from "../../src/layers/save.ts"
import type { ImageToSave, LayerToSave } from "../../src/layers/save.ts"
import { ustarHeader } from "../../src/oci/ustar.ts"

const digest = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

/** A layer with one file in it, given out in pieces of 1000 bytes. */
const layer = (content: string): LayerToSave => {
  const bytes = Buffer.concat([
    ustarHeader("file", content.length), Buffer.from(content.padEnd(512, "\0")), Buffer.alloc(1024),
  ])
  return {
    diffId: digest(bytes), size: bytes.length,
    stream: function*() {
      for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000)
    },
  }
}

const image = (tags: string[], layers: LayerToSave[]): ImageToSave => {
  const config = Buffer.from(JSON.stringify({
    os: "linux", architecture: "amd64",
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
  }))
  return { imageId: digest(config), config, tags, layers }
}

/** Reads an archive with a library that knows nothing of ours. */
const unpack = async (bytes: Buffer): Promise<Map<string, Buffer>> => {
  const files = new Map<string, Buffer>()
  const extract = tar.extract()
  extract.end(bytes)
  for await (const entry of extract) {
    const parts: Uint8Array[] = []
    for await (const part of entry) parts.push(part as Uint8Array)
    expect(files.has(entry.header.name)).toBe(false)
    files.set(entry.header.name, Buffer.concat(parts))
  }
  return files
}

const [base, top, other] = [layer("base"), layer("top"), layer("other")]
const images = [
  image(["docker.io/library/app:1", "docker.io/library/app:latest"], [base, top]),
  image(["host:5000/team/app:2"], [base, other, base]),
  image([], []),
]

describe("a saved archive", () => {
  it("holds every blob once, under its digest, and names them all", async () => {
    const bytes = Buffer.concat([...saveArchive(images)])
    expect(bytes.length % 512).toBe(0)
    const files = await unpack(bytes)
    const blobs = [...files.keys()].filter((name) => /^blobs\/sha256\/./.test(name))
    expect(blobs.length).toBe(3 + 3 + 3)
    for (const name of blobs) {
      expect(digest(files.get(name)!)).toBe(`sha256:${name.slice("blobs/sha256/".length)}`)
    }
    const json = (name: string) => JSON.parse(files.get(name)!.toString())
    const annotations = (name: string, tag: string) =>
      ({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag })
    const path = (of: string) => `blobs/sha256/${of.slice(7)}`
    const paths = (...layers: LayerToSave[]) => layers.map(({ diffId }) => path(diffId))
    const items: any[] = json("manifest.json")
    expect(items.map((item) => [item.Config, item.RepoTags, item.Layers])).toEqual([
      [path(images[0]!.imageId), ["app:1", "app:latest"], paths(base, top)],
      [path(images[1]!.imageId), ["host:5000/team/app:2"], paths(base, other, base)],
      [path(images[2]!.imageId), null, []],
    ])
    expect(json("repositories")).toEqual({
      app: { 1: top.diffId.slice(7), latest: top.diffId.slice(7) },
      "host:5000/team/app": { 2: base.diffId.slice(7) },
    })
    expect(json("oci-layout")).toEqual({ imageLayoutVersion: "1.0.0" })
    expect(json("index.json").manifests.map((entry: any) => entry.annotations)).toEqual([
      annotations("docker.io/library/app:1", "1"),
      annotations("docker.io/library/app:latest", "latest"),
      annotations("host:5000/team/app:2", "2"),
      undefined,
    ])
    for (const entry of json("index.json").manifests) {
      const manifest = JSON.parse(files.get(path(entry.digest))!.toString())
      for (const { digest, size } of [manifest.config, ...manifest.layers]) {
        expect(files.get(path(digest))!.length).toBe(size)
      }
    }
  })

  it("is the same every time, also as a stream", async () => {
    const streamed = await Effect.runPromise(Stream.runCollect(saveStream(images)))
    expect(Buffer.concat([...streamed]).equals(Buffer.concat([...saveArchive(images)]))).toBe(true)
  })

  it("ends in the middle where a layer is damaged, and lets go of it", async () => {
    let closed = 0
    const broken: LayerToSave = {
      ...base,
      stream: function*() {
        try {
          yield Buffer.alloc(512)
          throw new LayerDamaged({ file: "diff/a", cause: "it is missing" })
        } finally {
          closed++
        }
      },
    }
    const exit = await Effect.runPromiseExit(Stream.runDrain(saveStream([image([], [broken])])))
    expect(Exit.isFailure(exit) && String(exit.cause)).toContain("it is missing")
    const short = { ...base, size: base.size + 1 }
    expect(() => [...saveArchive([image([], [short])])]).toThrow(LayerDamaged)
    const long = { ...base, size: base.size - 1 }
    expect(() => [...saveArchive([image([], [long])])]).toThrow(LayerDamaged)
    await Effect.runPromise(Stream.runDrain(Stream.take(saveStream([image([], [broken])]), 4)))
    expect(closed).toBe(2)
  })

  it("writes sizes beyond 8 GiB as other tools read them", async () => {
    for (const size of [8 ** 11 - 1, 8 ** 11, 2 ** 52]) {
      const extract = tar.extract()
      const seen = new Promise((resolve) => extract.on("entry", ({ size }) => resolve(size)))
      extract.write(ustarHeader("big", size))
      expect(await seen).toBe(size)
      extract.destroy()
    }
    expect(() => ustarHeader("x".repeat(101), 0)).toThrow("too long")
  })
})
