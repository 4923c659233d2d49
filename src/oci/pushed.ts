import * as Result from "effect/Result"
import { digestOf } from "./digest.ts"
import { deltaAnnotations, type DeltaNotes } from "./delta.ts"
import { type Descriptor, MEDIA, parseManifest } from "./manifest.ts"

/** A layer's blob in a repository. */
export interface PushedLayer {
  readonly digest: string
  /** Compressed bytes. */
  readonly size: number
  readonly mediaType: string
}

/** What is known of an image that is pushed. */
export interface ImageToPush {
  readonly config: Uint8Array
  /** As a registry once gave it; null: it came from elsewhere. */
  readonly manifest: Uint8Array | null
  readonly mediaType: string
}

/** Which image a delta is for, and what it is made against. */
export interface Attachment {
  /** The image's manifest in this repository. */
  readonly subject: Pick<Descriptor, "mediaType" | "digest" | "size">
  readonly notes: DeltaNotes
}

/** A manifest as it is put: exactly these bytes. */
export interface PushedManifest {
  readonly mediaType: string
  readonly bytes: Uint8Array
}

/** OCI's word for what a blob is, whoever's word it came with. */
const OCI_LAYERS: Readonly<Record<string, string>> = {
  [MEDIA.dockerLayer]: MEDIA.ociLayer,
  [MEDIA.ociLayer]: MEDIA.ociLayer,
  [MEDIA.ociLayerZstd]: MEDIA.ociLayerZstd,
}
const ociLayer = (mediaType: string): string => OCI_LAYERS[mediaType] ?? MEDIA.ociLayerGzip

/**
 * The manifest of an image whose layers are these blobs: the registry's own, bit for bit, where it
 * names the same ones; else a new one of schema 2, laid out as dockerd lays it out, so that the
 * same blobs give the same digest. Schema 2 has no word for layers that are not gzip: those get
 * OCI's.
 */
export const pushedManifest = (
  image: ImageToPush,
  layers: readonly PushedLayer[],
): PushedManifest => {
  if (image.manifest !== null && names(image, layers)) {
    return { mediaType: image.mediaType, bytes: image.manifest }
  }
  const isGzip = layers.every(({ mediaType }) => ociLayer(mediaType) === MEDIA.ociLayerGzip)
  const mediaType = isGzip ? MEDIA.dockerManifest : MEDIA.ociManifest
  const config = {
    mediaType: isGzip ? MEDIA.dockerConfig : MEDIA.ociConfig,
    size: image.config.length,
    digest: digestOf(image.config),
  }
  const described = layers.map(({ digest, size, mediaType }) => ({
    mediaType: isGzip ? MEDIA.dockerLayerGzip : ociLayer(mediaType),
    size,
    digest,
  }))
  const manifest = { schemaVersion: 2, mediaType, config, layers: described }
  return { mediaType, bytes: Buffer.from(JSON.stringify(manifest, null, 3)) }
}

/** What a delta's manifest is as an artifact, in a list of what refers to an image. */
const DELTA_TYPE = "application/vnd.balena.image.delta.v1"

/**
 * The manifest of a delta that is attached to the image it makes: an image's in OCI's words, so
 * that engines who know only its tag pull it as they always did.
 */
export const attachedManifest = (
  config: Uint8Array,
  layers: readonly PushedLayer[],
  { subject: { mediaType, digest, size }, notes }: Attachment,
): PushedManifest => ({
  mediaType: MEDIA.ociManifest,
  bytes: Buffer.from(JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA.ociManifest,
    artifactType: DELTA_TYPE,
    config: { mediaType: MEDIA.ociConfig, digest: digestOf(config), size: config.length },
    layers: layers.map(({ digest, size, mediaType }) =>
      ({ mediaType: ociLayer(mediaType), digest, size })),
    subject: { mediaType, digest, size },
    annotations: deltaAnnotations(notes),
  })),
})

/**
 * The index of what refers to a manifest, with one more; null: that one is there. What is not ours
 * is kept as far as it was understood.
 */
export const referrersIndex = (
  known: readonly Descriptor[],
  { mediaType, bytes }: PushedManifest,
): Uint8Array | null => {
  const digest = digestOf(bytes)
  if (known.some((one) => one.digest === digest)) return null
  const { artifactType, annotations } = JSON.parse(Buffer.from(bytes).toString())
  const own = { mediaType, digest, size: bytes.length, artifactType, annotations }
  const others = known.map(({ mediaType, digest, size, artifactType, annotations }) =>
    ({ mediaType, digest, size, ...(artifactType && { artifactType }), annotations }))
  const manifests = [...others, own]
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests }))
}

const names = (
  { config, manifest, mediaType }: ImageToPush,
  layers: readonly PushedLayer[],
): boolean => {
  const parsed = parseManifest(manifest!, mediaType)
  if (Result.isFailure(parsed) || parsed.success.kind !== "image") return false
  const { success: known } = parsed
  return known.config.digest === digestOf(config) &&
    known.layers.length === layers.length &&
    known.layers.every(({ digest }, at) => digest === layers[at]!.digest)
}
