import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { readFile, rename, writeFile } from "node:fs/promises"

/** One layer as it lies on the disk: `path` holds the blob that `digest` and `size` describe. */
export interface BuiltLayer {
  readonly path: string
  readonly digest: string
  readonly size: number
  /** Digest of the uncompressed tar. */
  readonly diffId: string
  readonly mediaType: string
}

/** A whole image: what a registry serves, byte for byte, with its layers in files. Lowest first. */
export interface BuiltImage {
  readonly config: Buffer
  readonly manifest: Buffer
  readonly layers: readonly BuiltLayer[]
}

/** `sha256:` and the digest of some bytes. */
export const sha256 = (bytes: Buffer | string): string =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`

/** The image ID: the digest of its config. */
export const imageId = (image: BuiltImage): string => sha256(image.config)

/** Bytes that a pull of this image fetches as layer blobs. */
export const blobBytes = (image: BuiltImage): number =>
  image.layers.reduce((sum, layer) => sum + layer.size, 0)

export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
export const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json"

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64", arm: "arm" }

/** What a container of the image runs by default. */
export interface Defaults {
  readonly Cmd?: readonly string[]
  readonly Entrypoint?: readonly string[]
  readonly Env?: readonly string[]
  readonly Labels?: Readonly<Record<string, string>>
  readonly User?: string
  readonly WorkingDir?: string
  readonly ExposedPorts?: Readonly<Record<string, object>>
  readonly Volumes?: Readonly<Record<string, object>>
  readonly StopSignal?: string
  readonly Healthcheck?: Readonly<Record<string, unknown>>
}

/**
 * Joins layers to an image: config and manifest as Docker's builder writes them (image manifest v2
 * schema 2), or OCI's where a layer has an OCI media type. `created` is fixed: equal layers give an
 * equal image.
 */
export const assemble = (layers: readonly BuiltLayer[], defaults: Defaults): BuiltImage => {
  const created = "2025-01-01T00:00:00Z"
  const config = Buffer.from(JSON.stringify({
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    config: {
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      ...defaults,
    },
    created,
    history: layers.map((layer) => ({ created, created_by: `add ${layer.diffId.slice(7, 19)}` })),
    os: "linux",
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
  }))
  const oci = layers.some((layer) => layer.mediaType.startsWith("application/vnd.oci."))
  const manifest = Buffer.from(JSON.stringify({
    schemaVersion: 2,
    mediaType: oci ? OCI_MANIFEST : DOCKER_MANIFEST,
    config: {
      mediaType: oci ? OCI_CONFIG : DOCKER_CONFIG,
      size: config.length,
      digest: sha256(config),
    },
    layers: layers.map(({ mediaType, size, digest }) => ({ mediaType, size, digest })),
  }))
  return { config, manifest, layers }
}

/** The media type a manifest names itself by. */
export const manifestType = (image: BuiltImage): string =>
  JSON.parse(image.manifest.toString()).mediaType

/** Keeps what an image is in one file, so that a second run need not build it again. */
export const keep = async (path: string, image: BuiltImage): Promise<void> => {
  const { layers } = image
  const [config, manifest] = [image.config.toString(), image.manifest.toString()]
  const partial = `${path}.${process.pid}`
  await writeFile(partial, JSON.stringify({ config, manifest, layers }))
  await rename(partial, path)
}

/** Finds what `keep` kept; null when there is nothing, or one of its layers has gone. */
export const kept = async (path: string): Promise<BuiltImage | null> => {
  const text = await readFile(path, "utf8").catch(() => null)
  if (text === null) return null
  const { config, manifest, layers } = JSON.parse(text) as {
    config: string
    manifest: string
    layers: readonly BuiltLayer[]
  }
  for (const layer of layers) if (!existsSync(layer.path)) return null
  return { config: Buffer.from(config), manifest: Buffer.from(manifest), layers }
}
