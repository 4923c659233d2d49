import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Digest } from "./digest.ts"
import { decodeJson } from "./json.ts"
import { formatPlatform, type Platform, suitability } from "./platform.ts"

/** Media types of manifests and of what they name (image-spec, media-types.md; Docker schema 2). */
export const MEDIA = {
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  dockerForeignLayer: "application/vnd.docker.image.rootfs.foreign.diff.tar",
  dockerForeignLayerGzip: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  ociLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  ociLayerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  dockerSchema1: "application/vnd.docker.distribution.manifest.v1+json",
  dockerSchema1Signed: "application/vnd.docker.distribution.manifest.v1+prettyjws",
} as const

/** What a pull accepts, in the order of its `Accept` header. */
export const MANIFEST_TYPES: readonly string[] = [
  MEDIA.dockerManifest,
  MEDIA.dockerList,
  MEDIA.ociManifest,
  MEDIA.ociIndex,
]

/** A manifest that cannot be used. `cause` says what to do about it where something can be done. */
export class ManifestFault extends Schema.TaggedError<ManifestFault>()("ManifestFault", {
  /** `damaged`: not what it says it is; `unsupported`: a kind, type or platform we have not. */
  reason: Schema.Literals(["damaged", "unsupported"]),
  cause: Schema.String,
}) {}

/** Bytes elsewhere (OCI image-spec, descriptor.md). `size` in bytes. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly urls: readonly string[]
  readonly annotations: Readonly<Record<string, string>>
  /** What it is where it is no image; empty: not said. */
  readonly artifactType: string
  /** In a list only; null: not said. */
  readonly platform: Platform | null
}

export interface ImageManifest {
  readonly kind: "image"
  readonly mediaType: string
  /** What an artifact says it is; empty for images. */
  readonly artifactType: string
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  /** The manifest this one is about (a delta's target); null: none. */
  readonly subject: Descriptor | null
  readonly annotations: Readonly<Record<string, string>>
}

export interface ManifestList {
  readonly kind: "list"
  readonly mediaType: string
  readonly manifests: readonly Descriptor[]
  readonly annotations: Readonly<Record<string, string>>
}

export type Manifest = ImageManifest | ManifestList

const orNull = <S extends Schema.Constraint>(schema: S) =>
  Schema.optionalKey(Schema.NullOr(schema))
const Strings = Schema.Record(Schema.String, Schema.String)
const Size = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

const DescriptorJson = Schema.Struct({
  mediaType: orNull(Schema.String),
  digest: Digest,
  size: Size,
  urls: orNull(Schema.Array(Schema.String)),
  annotations: orNull(Strings),
  artifactType: orNull(Schema.String),
  platform: orNull(Schema.Struct({
    os: orNull(Schema.String),
    architecture: orNull(Schema.String),
    variant: orNull(Schema.String),
  })),
})

const ManifestJson = Schema.Struct({
  schemaVersion: orNull(Schema.Number),
  mediaType: orNull(Schema.String),
  artifactType: orNull(Schema.String),
  config: orNull(DescriptorJson),
  layers: orNull(Schema.Array(DescriptorJson)),
  manifests: orNull(Schema.Array(DescriptorJson)),
  subject: orNull(DescriptorJson),
  annotations: orNull(Strings),
  fsLayers: Schema.optionalKey(Schema.Unknown),
})
type ManifestJson = typeof ManifestJson.Type

const decodeManifest = decodeJson(ManifestJson)

const descriptor = (json: typeof DescriptorJson.Type): Descriptor => ({
  mediaType: json.mediaType ?? "",
  digest: json.digest,
  size: json.size,
  urls: json.urls ?? [],
  annotations: json.annotations ?? {},
  artifactType: json.artifactType ?? "",
  platform: platformOf(json),
})

function platformOf({ platform }: typeof DescriptorJson.Type): Platform | null {
  const { os, architecture, variant } = platform ?? {}
  if (!os && !architecture && !variant) return null
  return { os: os ?? "", architecture: architecture ?? "", variant: variant ?? "" }
}

const damaged = (cause: string) => Result.fail(new ManifestFault({ reason: "damaged", cause }))
const unsupported = (cause: string) =>
  Result.fail(new ManifestFault({ reason: "unsupported", cause }))

/**
 * Reads a manifest or a list of them. `contentType` is what the registry said it is (null: nothing,
 * as in an archive); a manifest that says otherwise of itself, or that could be read as both an
 * image and a list, is refused, because its digest would then not say what it means
 * (CVE-2021-41190).
 */
export function parseManifest(
  bytes: Uint8Array,
  contentType: string | null,
): Result.Result<Manifest, ManifestFault> {
  const said = mediaTypeOf(contentType)
  if (isSchema1(said)) return unsupported(SCHEMA_1)
  const decoded = decodeManifest(bytes)
  if (Result.isFailure(decoded)) return damaged(`damaged image manifest: ${decoded.failure}`)
  const json = decoded.success
  if (json.schemaVersion === 1 || isSchema1(json.mediaType ?? "")) return unsupported(SCHEMA_1)
  if (json.schemaVersion !== 2) {
    return damaged(`damaged image manifest: schemaVersion ${json.schemaVersion ?? "missing"}`)
  }
  const own = json.mediaType ?? ""
  if (said !== "" && own !== "" && said !== own) {
    return damaged(`manifest says it is ${own}, the registry ${said}`)
  }
  if (json.manifests && (json.layers || json.config) || json.fsLayers !== undefined) {
    return damaged("manifest reads as more than one kind; refused as ambiguous")
  }
  return manifestOf(json, own || said || (json.manifests ? MEDIA.ociIndex : MEDIA.ociManifest))
}

function manifestOf(json: ManifestJson, mediaType: string): Result.Result<Manifest, ManifestFault> {
  const annotations = json.annotations ?? {}
  switch (mediaType) {
    case MEDIA.dockerList:
    case MEDIA.ociIndex: {
      if (!json.manifests) return damaged("damaged manifest list: no manifests")
      const manifests = json.manifests.map(descriptor)
      return Result.succeed({ kind: "list", mediaType, manifests, annotations })
    }
    case MEDIA.dockerManifest:
    case MEDIA.ociManifest:
      if (!json.config) return damaged("damaged image manifest: no config")
      if (!json.layers) return damaged("damaged image manifest: no layers")
      return Result.succeed({
        kind: "image",
        mediaType,
        artifactType: json.artifactType ?? "",
        config: descriptor(json.config),
        layers: json.layers.map(descriptor),
        subject: json.subject ? descriptor(json.subject) : null,
        annotations,
      })
    default:
      return unsupported(`unsupported manifest media type ${mediaType}`)
  }
}

/** A header without its parameters; empty where it says nothing of use. */
function mediaTypeOf(contentType: string | null): string {
  const type = (contentType ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? ""
  return ["application/json", "application/octet-stream", "text/plain"].includes(type) ? "" : type
}

const isSchema1 = (mediaType: string): boolean =>
  mediaType === MEDIA.dockerSchema1 || mediaType === MEDIA.dockerSchema1Signed

const SCHEMA_1 = "image manifest version 2, schema 1 is not supported: "
  + "push the image again with a newer Docker"

/**
 * The image in a list that suits a machine best. Attestations (`unknown/unknown`) are no images.
 * An entry that names no platform is taken only where nothing better is.
 */
export function chooseManifest(
  list: ManifestList,
  wanted: Platform,
): Result.Result<Descriptor, ManifestFault> {
  const offers = list.manifests
    .filter((offer) => !isAttestation(offer))
    .map((offer) => ({
      offer,
      rank: offer.platform === null ? Infinity : suitability(wanted, offer.platform),
    }))
    .filter(({ rank }) => rank >= 0)
    .toSorted((a, b) => (a.rank === b.rank ? 0 : a.rank - b.rank))
  const best = offers[0]
  if (best !== undefined) return Result.succeed(best.offer)
  return unsupported(
    `no matching manifest for ${formatPlatform(wanted)} in the manifest list entries`,
  )
}

const isAttestation = ({ platform, annotations }: Descriptor): boolean =>
  platform?.os === "unknown" || platform?.architecture === "unknown"
  || annotations["vnd.docker.reference.type"] === "attestation-manifest"

const CONFIG_TYPES: readonly string[] = [
  MEDIA.dockerConfig,
  MEDIA.ociConfig,
  // What old pushes and proxies made of it; Docker takes them too.
  "application/octet-stream",
  "text/html",
  "",
]

/** How a layer's bytes are packed. */
export type Compression = "none" | "gzip" | "zstd"

const COMPRESSIONS: Readonly<Record<string, Compression>> = {
  [MEDIA.dockerLayer]: "none",
  [MEDIA.dockerLayerGzip]: "gzip",
  [MEDIA.dockerForeignLayer]: "none",
  [MEDIA.dockerForeignLayerGzip]: "gzip",
  [MEDIA.ociLayer]: "none",
  [MEDIA.ociLayerGzip]: "gzip",
  [MEDIA.ociLayerZstd]: "zstd",
  "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
  "application/vnd.oci.image.layer.nondistributable.v1.tar": "none",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "gzip",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": "zstd",
}

/**
 * What a layer's media type says of its packing; null: it says nothing that we know. The bytes
 * themselves (`compressionOfBytes`) are the better witness, since types are often wrong.
 */
export const compressionOf = (mediaType: string): Compression | null =>
  COMPRESSIONS[mediaType] ?? null

/** How bytes are packed, by their first four (RFC 1952, RFC 8878). */
export function compressionOfBytes(head: Uint8Array): Compression {
  const [a, b, c, d] = head
  if (a === 0x1f && b === 0x8b) return "gzip"
  return a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd ? "zstd" : "none"
}

/** Checks that a manifest is an image that can be run, not a chart, a plug-in or a signature. */
export function checkImage(
  manifest: ImageManifest,
): Result.Result<ImageManifest, ManifestFault> {
  if (!CONFIG_TYPES.includes(manifest.config.mediaType)) {
    return unsupported(
      `not a container image: its configuration is ${manifest.config.mediaType}`,
    )
  }
  const strange = manifest.layers.find(({ mediaType }) =>
    mediaType !== "" && compressionOf(mediaType) === null
  )
  return strange === undefined
    ? Result.succeed(manifest)
    : unsupported(`unsupported layer media type ${strange.mediaType}`)
}
