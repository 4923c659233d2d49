import { request } from "node:http"
import { gzipSync } from "node:zlib"
import { putImage } from "../../simulations/world/image-maker.ts"
import type { EmbeddedRegistry } from "../../simulations/world/registry.ts"
import { ArchiveFiles } from "../../src/layers/archive-files.ts"
import { MEDIA } from "../../src/oci/manifest.ts"
import { digestOf, type Made, tarball } from "../layers/tarballs.ts"
import type { Engine } from "./engine.ts"
import { errorIn, type Heard, type Line, pull } from "./pulling.ts"

/** An image as an archive holds it; a test bends one part of it. */
export interface Parts {
  readonly config: Buffer
  /** Tars, lowest first. */
  readonly layers: readonly Buffer[]
  readonly tag: string
}

export const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

/** An image of these layers, for this machine's platform. */
export const partsOf = (tag: string, layers: readonly Buffer[], config = {}): Parts => ({
  tag,
  layers,
  config: json({
    os: "linux",
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    config: { Env: ["PATH=/bin"] },
    rootfs: { type: "layers", diff_ids: layers.map(digestOf) },
    ...config,
  }),
})

/** The one image of an archive that an engine has saved. */
export const savedParts = (path: string): Parts => {
  const files = new ArchiveFiles(path)
  const read = (name: string) => files.bytes(name, 8 << 20)
  try {
    const [{ Config, Layers, RepoTags: [tag] }] = JSON.parse(read("manifest.json").toString())
    return { config: read(Config), layers: Layers.map(read), tag }
  } finally {
    files.close()
  }
}

/**
 * Puts an image on a registry as it is, its configuration to the byte. `more`: what its manifest
 * says beside.
 */
export const putParts = (
  registry: EmbeddedRegistry,
  repository: string,
  { config, layers }: Pick<Parts, "config" | "layers">,
  { tag = null as string | null, more = {} } = {},
) => {
  const blobs = layers.map((tar) => {
    const blob = gzipSync(tar)
    return { mediaType: MEDIA.ociLayerGzip, digest: registry.addBlob(blob), size: blob.length }
  })
  const manifest = json({
    schemaVersion: 2,
    mediaType: MEDIA.ociManifest,
    config: { mediaType: MEDIA.ociConfig, digest: registry.addBlob(config), size: config.length },
    layers: blobs,
    ...more,
  })
  const digest = registry.addManifest(repository, MEDIA.ociManifest, manifest, tag)
  return { digest, layers: blobs, bytes: manifest.length }
}

/** What `docker save` wrote before Docker 25, its members by name. */
export const savedFiles = ({ config, layers, tag }: Parts) => {
  const names = layers.map((_, n) => `${n}/layer.tar`)
  const manifest = { Config: "config.json", RepoTags: [tag], Layers: names }
  return {
    "config.json": config,
    ...Object.fromEntries(names.map((name, n) => [name, layers[n]!])),
    "manifest.json": json([manifest]),
  } as Record<string, Buffer>
}

/** An OCI image layout, its members by name. */
export const layoutFiles = ({ config, layers, tag }: Parts) => {
  const blobs = new Map<string, Buffer>()
  const put = (mediaType: string, bytes: Buffer) => {
    const digest = digestOf(bytes)
    blobs.set(`blobs/${digest.replace(":", "/")}`, bytes)
    return { mediaType: `application/vnd.oci.image.${mediaType}`, digest, size: bytes.length }
  }
  const manifest = {
    schemaVersion: 2,
    config: put("config.v1+json", config),
    layers: layers.map((layer) => put("layer.v1.tar", layer)),
  }
  const annotations = { "io.containerd.image.name": tag }
  const manifests = [{ ...put("manifest.v1+json", json(manifest)), annotations }]
  return {
    "oci-layout": json({ imageLayoutVersion: "1.0.0" }),
    "index.json": json({ schemaVersion: 2, manifests }),
    ...Object.fromEntries(blobs),
  } as Record<string, Buffer>
}

/** Members as a tar; `odd` come last, and may be what no member is. */
export const archiveOf = (files: Record<string, Buffer>, ...odd: readonly Made[]): Buffer =>
  tarball(...Object.entries(files).map(([path, content]) => ({ path, content })), ...odd)

/** Loads an archive to the end, whatever it is. */
export const loadHeard = ({ place }: Engine, archive: Buffer): Promise<Heard> =>
  new Promise((resolve, reject) => {
    const options = { socketPath: place.socket, method: "POST", path: "/images/load?quiet=1" }
    const asked = request(options, (answer) => {
      let text = ""
      answer.setEncoding("utf8").on("data", (data: string) => (text += data))
      answer.on("end", () => {
        const lines = text.split("\n").filter(Boolean).map((line): Line => JSON.parse(line))
        resolve({ status: answer.statusCode!, lines })
      })
    })
    asked.on("error", reject)
    asked.end(archive)
  })

/** Loads an archive to the end; answers what went wrong, null: nothing. */
export const load = async (engine: Engine, archive: Buffer): Promise<string | null> =>
  errorIn(await loadHeard(engine, archive))

/** How an image comes in: brings it under its tag, answers what went wrong. */
export type Way = (
  engine: Engine, registry: EmbeddedRegistry, parts: Parts,
) => Promise<string | null>

/** Every way by which layers reach the engine. */
export const WAYS: readonly (readonly [string, Way])[] = [
  ["docker save's archive", (engine, _, parts) => load(engine, archiveOf(savedFiles(parts)))],
  ["an OCI layout", (engine, _, parts) => load(engine, archiveOf(layoutFiles(parts)))],
  ["a registry", async (engine, registry, { layers, tag }) => {
    putImage(registry, {
      repository: "hostile",
      tags: ["1"],
      layers: layers.map((tar) => ({ tar, compression: "gzip" })),
      dialect: "docker",
      config: { config: { Env: ["PATH=/bin"] } },
    })
    const error = errorIn(await pull(engine, `${registry.host}/hostile:1`))
    if (error === null) {
      await engine.done(["tag", `${registry.host}/hostile:1`, tag])
      await engine.done(["rmi", `${registry.host}/hostile:1`])
    }
    return error
  }],
]
