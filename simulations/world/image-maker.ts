import { gzipSync, zstdCompressSync } from "node:zlib"
import { digestOf } from "../../src/oci/digest.ts"
import { type Compression, MEDIA } from "../../src/oci/manifest.ts"
import { type Platform, machinePlatform } from "../../src/oci/platform.ts"
import { type BuiltImage, manifestType } from "../images/image.ts"
import type { EmbeddedRegistry } from "./registry.ts"

/** A layer to be served: its tar, and how it travels. */
export interface LayerMake {
  readonly tar: Uint8Array
  readonly compression: Compression
}

export interface ImageMake {
  readonly repository: string
  readonly tags: readonly string[]
  readonly layers: readonly LayerMake[]
  /** Docker's schema 2, or OCI. */
  readonly dialect: "docker" | "oci"
  readonly platform?: Platform
  /** What the config holds beside architecture, os and rootfs: Env, Cmd … under `config`. */
  readonly config?: Readonly<Record<string, unknown>>
}

export interface MadeLayer {
  readonly digest: string
  readonly diffId: string
  readonly size: number
  readonly mediaType: string
}

export interface MadeImage {
  readonly imageId: string
  readonly digest: string
  readonly mediaType: string
  readonly manifestBytes: number
  readonly layers: readonly MadeLayer[]
}

/** Makes a small image and puts it on the registry, under every tag. */
export function putImage(registry: EmbeddedRegistry, make: ImageMake): MadeImage {
  const layers = make.layers.map((layer) => putLayer(registry, layer, make.dialect))
  const { os, architecture, variant } = make.platform ?? machinePlatform
  const config = Buffer.from(JSON.stringify({
    architecture,
    os,
    ...(variant === "" ? {} : { variant }),
    config: {},
    created: "2026-01-01T00:00:00Z",
    history: layers.map((_, index) => ({ created_by: `layer ${index}` })),
    ...make.config,
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
  }))
  const docker = make.dialect === "docker"
  const mediaType = docker ? MEDIA.dockerManifest : MEDIA.ociManifest
  const manifest = Buffer.from(JSON.stringify({
    schemaVersion: 2,
    mediaType,
    config: {
      mediaType: docker ? MEDIA.dockerConfig : MEDIA.ociConfig,
      size: config.length,
      digest: registry.addBlob(config),
    },
    layers: layers.map(({ digest, size, mediaType }) => ({ mediaType, size, digest })),
  }))
  const digest = registry.addManifest(make.repository, mediaType, manifest)
  for (const tag of make.tags) registry.addManifest(make.repository, mediaType, manifest, tag)
  const manifestBytes = manifest.length
  return { imageId: digestOf(config), digest, mediaType, manifestBytes, layers }
}

/** Puts a list of images, one for each platform, under a tag. Answers its digest. */
export function putList(
  registry: EmbeddedRegistry,
  repository: string,
  tag: string,
  dialect: "docker" | "oci",
  offers: readonly { readonly image: MadeImage; readonly platform: Platform }[],
): string {
  const mediaType = dialect === "docker" ? MEDIA.dockerList : MEDIA.ociIndex
  const bytes = Buffer.from(JSON.stringify({
    schemaVersion: 2,
    mediaType,
    manifests: offers.map(({ image, platform: { os, architecture, variant } }) => ({
      mediaType: image.mediaType,
      digest: image.digest,
      size: image.manifestBytes,
      platform: { os, architecture, ...(variant === "" ? {} : { variant }) },
    })),
  }))
  return registry.addManifest(repository, mediaType, bytes, tag)
}

const MEDIA_OF = {
  docker: {
    none: MEDIA.dockerLayer,
    gzip: MEDIA.dockerLayerGzip,
    zstd: MEDIA.ociLayerZstd,
  },
  oci: { none: MEDIA.ociLayer, gzip: MEDIA.ociLayerGzip, zstd: MEDIA.ociLayerZstd },
} as const

function putLayer(
  registry: EmbeddedRegistry,
  { tar, compression }: LayerMake,
  dialect: "docker" | "oci",
): MadeLayer {
  const blob = compress(tar, compression)
  const digest = registry.addBlob(blob)
  const mediaType = MEDIA_OF[dialect][compression]
  return { digest, diffId: digestOf(tar), size: blob.length, mediaType }
}

const compress = (tar: Uint8Array, compression: Compression): Uint8Array => {
  if (compression === "gzip") return gzipSync(tar)
  return compression === "zstd" ? zstdCompressSync(tar) : tar
}

/** Puts an image whose layers lie in files on the registry. Answers the manifest's digest. */
export function putBuilt(
  registry: EmbeddedRegistry,
  image: BuiltImage,
  repository: string,
  tag: string,
): string {
  for (const { digest, path, size } of image.layers) registry.addBlobFile(digest, path, size)
  registry.addBlob(image.config)
  return registry.addManifest(repository, manifestType(image), image.manifest, tag)
}
