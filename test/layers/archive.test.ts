import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib"
import * as tar from "tar-stream"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { inspectArchive } from "../../src/layers/archive.ts"
import { type Archived, PullFault } from "../../src/layers/carrier.ts"
import { saveArchive } from "../../src/layers/save.ts"
import { spool } from "../../src/layers/spool.ts"
import { machinePlatform } from "../../src/oci/platform.ts"

let root = ""
let made = 0
beforeAll(() => {
  root = fs.mkdtempSync(join(tmpdir(), "be-archive-"))
})
afterAll(() => fs.rmSync(root, { recursive: true, force: true }))

const sha256 = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex")
const fixture = (name: string) =>
  fs.readFileSync(new URL(`../fixtures/${name}.tar.gz`, import.meta.url))

/** Puts bytes down as they are, and inspects them. */
const inspectBytes = (bytes: Uint8Array) => {
  const path = join(root, `${made++}.tar`)
  fs.writeFileSync(path, bytes)
  return Effect.runPromiseExit(inspectArchive(path))
}
const found = async (bytes: Uint8Array): Promise<readonly Archived[]> => {
  const exit = await inspectBytes(bytes)
  if (Exit.isSuccess(exit)) return exit.value
  throw new Error(Cause.pretty(exit.cause))
}
const fault = async (bytes: Uint8Array): Promise<readonly [string, string]> => {
  const exit = await inspectBytes(bytes)
  if (Exit.isSuccess(exit)) throw new Error("it was read")
  const error = Cause.squash(exit.cause)
  if (!(error instanceof PullFault)) throw error
  return [error.reason, error.cause]
}

/** What lies at a layer's place in the archive. */
const bytesOf = ({ source }: Archived["layers"][number]): Buffer => {
  if (source.kind !== "archive") throw new Error("not in an archive")
  return fs.readFileSync(source.path).subarray(source.offset, source.offset + source.size)
}

type File = Uint8Array | string | object | { readonly to: string; readonly hard?: true }
const isLink = (file: File): file is { to: string; hard?: true } =>
  typeof file === "object" && "to" in file
const bytesFor = (file: File): Uint8Array => {
  if (file instanceof Uint8Array) return file
  return Buffer.from(typeof file === "string" ? file : JSON.stringify(file))
}

const pack = async (files: Readonly<Record<string, File>>): Promise<Buffer> => {
  const archive = tar.pack()
  for (const [name, file] of Object.entries(files)) {
    if (isLink(file)) {
      archive.entry({ name, type: file.hard ? "link" : "symlink", linkname: file.to })
    } else archive.entry({ name }, Buffer.from(bytesFor(file)))
  }
  archive.finalize()
  const parts: Uint8Array[] = []
  for await (const part of archive) parts.push(part as Uint8Array)
  return Buffer.concat(parts)
}

const layer = Buffer.alloc(1024)
const config = (diffIds: readonly string[], more: object = {}) => JSON.stringify({
  architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: diffIds }, ...more,
})
const one = config([`sha256:${sha256(layer)}`])
const legacy = (more: object = {}): Record<string, File> => ({
  "config.json": one, "a/layer.tar": layer,
  "manifest.json": [{ Config: "config.json", RepoTags: ["app:1"], Layers: ["a/layer.tar"] }],
  ...more,
})

describe("an archive of docker save", () => {
  const busybox24 = "47bcc53f74dc94b1920f0b34f6036096526296767650f223433fe65c35f149eb"
  const busybox29 = "758ec7f3a1ee85f8f08399b55641bfb13e8c1109287ddc5e22b68c3d653152ee"
  const delta = "cfb1d211f03cff1e31fdb558fca4c5770e4f56eb6c41ec87f561ec552df3dbec"
  const repeated = "34134ede3f1f3db3c8e1f52b5cf5fe705c0370e40ab4100b7f606622a9faac8f"
  const known = {
    "busybox-1.24": [busybox24, "busybox:1.24", 2],
    "busybox-1.29": [busybox29, "busybox:1.29", 1],
    "repeated-layers": [repeated, "thrice:latest", 3],
  } as const
  for (const [name, [imageId, tag, layers]] of Object.entries(known)) {
    it(`is read as Docker reads it: ${name}`, async () => {
      const [image, ...others] = await found(gunzipSync(fixture(name)))
      expect(others).toEqual([])
      expect(image!.imageId).toBe(`sha256:${imageId}`)
      expect(sha256(image!.config)).toBe(imageId)
      expect(image!.tags).toEqual([`docker.io/library/${tag}`])
      expect(image!.layers.length).toBe(layers)
      for (const layer of image!.layers) {
        expect(layer.diffId).toBe(`sha256:${sha256(bytesOf(layer))}`)
      }
    })
  }

  // The broken ones differ from what their configuration promises: extraction finds that.
  const ends = ["", "-bad-magic", "-truncated"]
  it.each(ends)("is what a delta makes: busybox-delta%s", async (end) => {
    const [image, ...others] = await found(gunzipSync(fixture(`busybox-delta${end}`)))
    expect(others).toEqual([])
    expect(image!.imageId).toBe(`sha256:${busybox29}`)
    expect(sha256(image!.config)).toBe(busybox29)
    expect(image!.tags).toEqual(["docker.io/library/busybox:delta"])
    const [made] = await found(gunzipSync(fixture("busybox-1.29")))
    expect(image!.layers.map(({ diffId }) => diffId))
      .toEqual(made!.layers.map(({ diffId }) => diffId))
    expect(image!.delta).toEqual({ imageId: `sha256:${delta}`, base: `sha256:${busybox24}` })
    expect(made!.delta).toBeNull()
  })

  it("is found again in what this engine saves, both layouts", async () => {
    const images = [
      ...await found(gunzipSync(fixture("busybox-1.24"))),
      ...await found(gunzipSync(fixture("repeated-layers"))),
    ]
    const bytes = Buffer.concat([...saveArchive(images.map((image) => ({
      ...image,
      layers: image.layers.map((layer) => {
        const bytes = bytesOf(layer)
        return { diffId: layer.diffId, size: bytes.length, stream: () => [bytes] }
      }),
    })))])
    const what = (all: readonly Archived[]) => all.map((image) => ({
      ...image, config: sha256(image.config),
      layers: image.layers.map((layer) => [layer.diffId, sha256(bytesOf(layer))]),
    }))
    expect(what(await found(bytes))).toEqual(what(images))
    const files = new Map<string, Uint8Array>()
    const extract = tar.extract()
    extract.end(bytes)
    for await (const entry of extract) {
      const parts: Uint8Array[] = []
      for await (const part of entry) parts.push(part as Uint8Array)
      files.set(entry.header.name, Buffer.concat(parts))
    }
    files.delete("manifest.json")
    expect(what(await found(await pack(Object.fromEntries(files))))).toEqual(what(images))
  })

  it("may have compressed layers, any names, links, and members in any case", async () => {
    const packed = gzipSync(layer)
    const [image] = await found(await pack({
      "sha256:abc": one, "abc.tar.gz": { to: "sub/./real", hard: true }, sub: { to: "/there" },
      "there/real": { to: "../store/it" }, "store/it": packed,
      "manifest.json": [{ config: "sha256:abc", repotags: null, LAYERS: ["./abc.tar.gz"] }],
    }))
    expect(image!.imageId).toBe(`sha256:${sha256(one)}`)
    expect(image!.tags).toEqual([])
    expect(bytesOf(image!.layers[0]!).equals(packed)).toBe(true)
  })

  it("gives an image once, with all its tags", async () => {
    const images = await found(await pack(legacy({
      "manifest.json": [
        { Config: "config.json", Layers: ["a/layer.tar"], RepoTags: ["app:1"] },
        { Config: "config.json", Layers: ["a/layer.tar"], RepoTags: ["host:5000/x/a:2", "app:1"] },
      ],
    })))
    expect(images.map(({ tags }) => tags)).toEqual(
      [["docker.io/library/app:1", "host:5000/x/a:2"]])
  })
})

describe("an OCI layout without manifest.json", () => {
  const descriptor = (bytes: Uint8Array | string, mediaType: string, more: object = {}) =>
    ({ mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length, ...more })
  const OCI = "application/vnd.oci.image."
  const image = (architecture: string) => {
    const made = config([`sha256:${sha256(layer)}`], { architecture })
    const manifest = JSON.stringify({
      schemaVersion: 2, mediaType: `${OCI}manifest.v1+json`,
      config: descriptor(made, `${OCI}config.v1+json`),
      layers: [descriptor(layer, `${OCI}layer.v1.tar`)],
    })
    const blobs = Object.fromEntries([made, manifest, layer].map((blob) =>
      [`blobs/sha256/${sha256(blob)}`, blob]))
    return { made, manifest, blobs }
  }
  const mine = image(machinePlatform.architecture)
  const foreign = image("s390x")
  const platform = (architecture: string) => ({ platform: { os: "linux", architecture } })
  const index = (manifests: object[]) =>
    ({ schemaVersion: 2, mediaType: `${OCI}index.v1+json`, manifests })
  const layout = (manifests: object[], more: object = {}): Record<string, File> => ({
    "oci-layout": { imageLayoutVersion: "1.0.0" }, "index.json": index(manifests),
    ...mine.blobs, ...foreign.blobs, ...more,
  })
  const entry = (of: string, more: object = {}) => descriptor(of, `${OCI}manifest.v1+json`, more)
  const names = async (files: Record<string, File>) =>
    (await found(await pack(files))).map(({ imageId, tags }) => [imageId, tags])
  const ids = (...of: string[]) => of.map((config) => `sha256:${sha256(config)}`)

  it("takes names from annotations", async () => {
    const [id] = ids(mine.made)
    const named = async (annotations: object) =>
      (await names(layout([entry(mine.manifest, { annotations })])))[0]
    const ref = "org.opencontainers.image.ref.name"
    const name = "io.containerd.image.name"
    expect(await named({ [name]: "docker.io/library/app:2", [ref]: "2" }))
      .toEqual([id, ["docker.io/library/app:2"]])
    expect(await named({ [ref]: "host:5000/app:3" })).toEqual([id, ["host:5000/app:3"]])
    expect(await named({ [ref]: "latest" })).toEqual([id, []])
    expect(await named({ [ref]: "NOT A:NAME" })).toEqual([id, []])
  })

  it("takes every image, and of platforms the best", async () => {
    const [mineId, foreignId] = ids(mine.made, foreign.made)
    const platforms = [
      entry(foreign.manifest, platform("s390x")),
      entry(mine.manifest, platform(machinePlatform.architecture)),
      entry(foreign.manifest, {
        ...platform("unknown"),
        annotations: { "vnd.docker.reference.type": "attestation-manifest" },
      }),
    ]
    expect(await names(layout([entry(mine.manifest), entry(foreign.manifest)])))
      .toEqual([[mineId, []], [foreignId, []]])
    expect(await names(layout(platforms))).toEqual([[mineId, []]])
    const inner = JSON.stringify(index(platforms))
    const outer = layout([descriptor(inner, `${OCI}index.v1+json`)],
      { [`blobs/sha256/${sha256(inner)}`]: inner })
    expect(await names(outer)).toEqual([[mineId, []]])
    expect(await fault(await pack(layout([
      entry(foreign.manifest, platform("s390x")), entry(foreign.manifest, platform("s390x")),
    ])))).toEqual(["unsupported", expect.stringContaining("no matching manifest")])
  })

  it("checks every digest and size", async () => {
    const name = `blobs/sha256/${sha256(mine.made)}`
    expect(await fault(await pack(layout([entry(mine.manifest)], { [name]: foreign.made }))))
      .toEqual(["damaged", expect.stringContaining(name)])
    const blob = `blobs/sha256/${sha256(layer)}`
    expect(await fault(await pack(layout([entry(mine.manifest)], { [blob]: "short" }))))
      .toEqual(["damaged", `${blob} has 5 bytes instead of 1024`])
    const files = layout([entry(mine.manifest)])
    delete files[blob]
    expect(await fault(await pack(files)))
      .toEqual(["damaged", `open ${blob}: no such file or directory`])
    const newer = { "oci-layout": { imageLayoutVersion: "9" } }
    expect(await fault(await pack(layout([entry(mine.manifest)], newer))))
      .toEqual(["unsupported", "OCI image layout version 9 is not supported"])
  })
})

describe("an archive that is none", () => {
  const cases: Record<string, [File | null, object, string, string]> = {
    "no manifest": [null, { "manifest.json": { to: "nowhere" } }, "damaged",
      "invalid archive: does not contain a manifest.json"],
    "a manifest that is not JSON": ["{", {}, "damaged", "invalid manifest.json: not JSON"],
    "a manifest that is another thing": [{}, {}, "damaged", "invalid manifest.json: "],
    "no config": [null, { "config.json": { to: "gone" } }, "damaged",
      "open config.json: no such file or directory"],
    "a config that is not JSON": [null, { "config.json": "no" }, "damaged",
      "invalid image configuration"],
    "a config without a root file system": [null, { "config.json": "{}" }, "damaged",
      "invalid rootfs in image configuration"],
    "too few layers": [[{ Config: "config.json", Layers: [] }], {}, "damaged",
      "invalid manifest, layers length mismatch: expected 0, got 1"],
    "another operating system": [null, { "config.json": config([], { os: "windows" }) },
      "unsupported", "cannot load windows image on linux"],
    "a bad tag": [[{ Config: "config.json", Layers: ["a/layer.tar"], RepoTags: ["UPPER:1"] }], {},
      "damaged", "invalid tag \"UPPER:1\""],
    "no tag": [[{ Config: "config.json", Layers: ["a/layer.tar"], RepoTags: ["app"] }], {},
      "damaged", "invalid tag \"app\""],
    "links in a circle": [null, { "a/layer.tar": { to: "../b" }, b: { to: "a/layer.tar" } },
      "damaged", "open a/layer.tar: too many levels of symbolic links"],
    "a path that leads out": [[{ Config: "a/../../etc/passwd", Layers: [] }], {}, "hostile",
      "invalid archive: \"a/../../etc/passwd\" leads out of the archive"],
    "an entry that leads out": [null, { "../evil": "x" }, "hostile", "\"../evil\" leads out"],
    "a link that leads out": [null, { "a/layer.tar": { to: "../../etc/passwd" } }, "hostile",
      "\"a/layer.tar\" leads out"],
    "a config of another digest": [[{ Config: `blobs/sha256/${"0".repeat(64)}`, Layers: [] }],
      { [`blobs/sha256/${"0".repeat(64)}`]: one }, "damaged", "has the digest sha256:"],
  }
  for (const [what, [manifest, more, reason, cause]] of Object.entries(cases)) {
    it(`is refused in words: ${what}`, async () => {
      const files = legacy(more)
      if (manifest !== null) files["manifest.json"] = manifest
      expect(await fault(await pack(files))).toEqual([reason, expect.stringContaining(cause)])
    })
  }

  it("is refused in words: too large a config, an old Docker's, no tar, nothing", async () => {
    expect(await fault(await pack(legacy({ "config.json": Buffer.alloc(9 << 20, " ") }))))
      .toEqual(["damaged", `invalid archive: config.json has ${9 << 20} bytes`])
    expect(await fault(await pack({ repositories: "{}" })))
      .toEqual(["unsupported", expect.stringContaining("Docker before 1.10")])
    expect(await fault(Buffer.alloc(3000, "no tar")))
      .toEqual(["damaged", expect.stringContaining("archive/tar: invalid tar header")])
    expect((await fault(Buffer.alloc(0)))[0]).toBe("damaged")
    const exit = await Effect.runPromiseExit(inspectArchive(join(root, "none")))
    expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toMatchObject({ reason: "local" })
  })

  it("is refused wherever it was cut off or changed, and never crashes", async () => {
    const whole = await pack(legacy())
    for (let at = 0; at < whole.length - 1024; at += 97) {
      const exit = await inspectBytes(whole.subarray(0, at))
      const error = Exit.isFailure(exit) && Cause.squash(exit.cause)
      expect(error, `cut at ${at}`).toBeInstanceOf(PullFault)
    }
    for (let at = 0; at < whole.length; at += 61) {
      const bad = Buffer.from(whole)
      bad[at]! ^= 0xff
      const exit = await inspectBytes(bad)
      if (Exit.isFailure(exit)) expect(Cause.squash(exit.cause)).toBeInstanceOf(PullFault)
    }
  })
})

describe("a spooled archive", () => {
  const pieces = async function*(bytes: Uint8Array, size: number) {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
  }
  const spooled = async (bytes: Uint8Array, bytesMax = 1e9, size = 1000) => {
    const path = join(root, `spool-${made++}`)
    const exit = await Effect.runPromiseExit(spool(pieces(bytes, size), path, bytesMax))
    if (Exit.isSuccess(exit)) {
      const content = fs.readFileSync(path)
      expect(exit.value).toBe(content.length)
      return content
    }
    expect(fs.existsSync(path)).toBe(false)
    return Cause.squash(exit.cause) as PullFault
  }
  const plain = Buffer.alloc(100_000, "a tar or so")

  it("is plain, however it came", async () => {
    for (const bytes of [plain, gzipSync(plain), zstdCompressSync(plain)]) {
      expect(plain.equals(await spooled(bytes) as Buffer)).toBe(true)
      const size = bytes === plain ? 999 : 3
      expect(plain.equals(await spooled(bytes, 1e9, size) as Buffer)).toBe(true)
    }
    expect(await spooled(Buffer.alloc(0))).toEqual(Buffer.alloc(0))
    const members = Buffer.concat([gzipSync("one"), gzipSync("two")])
    expect(await spooled(members)).toEqual(Buffer.from("onetwo"))
  })

  it("is gone if it was cut short, damaged, packed otherwise, or too large", async () => {
    const gzip = gzipSync(plain)
    const bad = Buffer.from(gzip)
    bad[gzip.length - 6]! ^= 1
    expect(await spooled(gzip.subarray(0, 100))).toMatchObject(
      { reason: "damaged", cause: "the archive ends too early: unexpected EOF" })
    expect(await spooled(zstdCompressSync(plain).subarray(0, 20)))
      .toMatchObject({ reason: "damaged" })
    expect(await spooled(bad)).toMatchObject({ reason: "damaged" })
    expect(await spooled(Buffer.from("BZh91AY&SY"))).toMatchObject(
      { reason: "unsupported", cause: expect.stringContaining("bzip2") })
    expect(await spooled(gzip, 99_999)).toMatchObject({ reason: "noSpace" })
  })

  it("is gone if the client goes away in the middle, even a silent one", async () => {
    const path = join(root, "stuck")
    const silent = async function*() {
      yield plain
      await new Promise(() => {})
    }
    const exit = await Effect.runPromiseExit(Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(spool(silent(), path, 1e9))
      while (!fs.existsSync(path) || fs.statSync(path).size === 0) yield* Effect.sleep("5 millis")
      yield* Fiber.interrupt(fiber)
      while (fs.existsSync(path)) yield* Effect.sleep("5 millis")
    }))
    expect(Exit.isSuccess(exit)).toBe(true)
  })
})
