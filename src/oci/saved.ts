import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { digestOf, splitDigest } from "./digest.ts"
import { decodeJson, foldKeys } from "./json.ts"
import { MEDIA } from "./manifest.ts"
import {
  familiarReference, familiarRepository, formatReference, parseReference, type Reference,
} from "./reference.ts"

/**
 * What is written around the layers in a `docker save` archive: `manifest.json` and `repositories`
 * of Docker, and the OCI image layout (image-spec, image-layout.md), which since Docker 25 describe
 * the same blobs side by side.
 */

/** One image as `manifest.json` names it. Config and layers are paths in the archive. */
export interface SavedImage {
  readonly config: string
  /** As written; not checked. */
  readonly tags: readonly string[]
  readonly layers: readonly string[]
}

/** Where an OCI layout keeps what a digest names. */
export const blobPath = (digest: string): string => `blobs/${splitDigest(digest).join("/")}`

const ItemJson = Schema.Struct({
  Config: Schema.String,
  RepoTags: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String))),
  Layers: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String))),
})
const decodeArray = decodeJson(Schema.Array(Schema.Unknown))
const decodeItems = Schema.decodeUnknownResult(Schema.Array(ItemJson))

/** Reads `manifest.json`. The failure says what is wrong. */
export const parseSavedManifest = (
  bytes: Uint8Array,
): Result.Result<readonly SavedImage[], string> =>
  decodeArray(bytes).pipe(
    Result.flatMap((items) => decodeItems(items.map((item) =>
      foldKeys(Object.keys(ItemJson.fields), item)
    )).pipe(Result.mapError((error) => error.message))),
    Result.map((items) => items.map(({ Config, RepoTags, Layers }) => ({
      config: Config, tags: RepoTags ?? [], layers: Layers ?? [],
    }))),
  )

const LayoutJson = Schema.Struct({ imageLayoutVersion: Schema.String })
const decodeLayout = decodeJson(LayoutJson)

/** Reads `oci-layout`: its version. */
export const parseLayoutVersion = (bytes: Uint8Array): Result.Result<string, string> =>
  Result.map(decodeLayout(bytes), ({ imageLayoutVersion }) => imageLayoutVersion)

/** containerd's annotation with a whole reference; `ref.name` is a tag alone, or a reference. */
const IMAGE_NAME = "io.containerd.image.name"
const REF_NAME = "org.opencontainers.image.ref.name"

/** The canonical reference that annotations of an index's entry give an image; null: none. */
export function annotatedName(annotations: Readonly<Record<string, string>>): string | null {
  const written = annotations[IMAGE_NAME] ?? annotations[REF_NAME]
  // A tag without a repository names nothing by itself.
  if (written === undefined || !/[:/]/.test(written)) return null
  const parsed = parseReference(written)
  if (Result.isFailure(parsed) || parsed.success.tag === null) return null
  return formatReference({ ...parsed.success, digest: null })
}

/** One image to be described in an archive. */
export interface Described {
  /** Digest of the configuration: the image's ID. */
  readonly imageId: string
  readonly configSize: number
  /** References with a tag. */
  readonly tags: readonly string[]
  /** Uncompressed layers, lowest first. */
  readonly layers: readonly { readonly diffId: string; readonly size: number }[]
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

const layerDescriptor = ({ diffId, size }: Described["layers"][number]) =>
  ({ mediaType: MEDIA.ociLayer, digest: diffId, size })

const referenceOf = (tag: string): Reference => Result.getOrThrow(parseReference(tag))

/** The OCI manifest of an image with uncompressed layers. */
export const savedImageManifest = (image: Described): Buffer => json({
  schemaVersion: 2,
  mediaType: MEDIA.ociManifest,
  config: { mediaType: MEDIA.ociConfig, digest: image.imageId, size: image.configSize },
  layers: image.layers.map(layerDescriptor),
})

/** `index.json`: an entry for each tag, or one for an image without any. */
export function savedIndex(
  images: readonly { readonly image: Described; readonly manifest: Uint8Array }[],
): Buffer {
  const manifests = images.flatMap(({ image, manifest }) => {
    const entry =
      { mediaType: MEDIA.ociManifest, digest: digestOf(manifest), size: manifest.length }
    return image.tags.length === 0 ? [entry] : image.tags.map(referenceOf).map((reference) => ({
      ...entry,
      annotations: { [IMAGE_NAME]: formatReference(reference), [REF_NAME]: reference.tag },
    }))
  })
  return json({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests })
}

/** `oci-layout`. */
export const savedLayout = (): Buffer => json({ imageLayoutVersion: "1.0.0" })

/** `manifest.json`. */
export const savedManifest = (images: readonly Described[]): Buffer =>
  json(images.map((image) => ({
    Config: blobPath(image.imageId),
    RepoTags: image.tags.length === 0
      ? null
      : image.tags.map((tag) => familiarReference(referenceOf(tag))),
    Layers: image.layers.map(({ diffId }) => blobPath(diffId)),
    LayerSources: Object.fromEntries(
      image.layers.map((layer) => [layer.diffId, layerDescriptor(layer)])),
  })))

/** `repositories`: per repository, each tag's uppermost layer. Null: no tags, no such file. */
export function savedRepositories(images: readonly Described[]): Buffer | null {
  const repositories: Record<string, Record<string, string>> = {}
  for (const { tags, layers } of images) {
    const top = layers.at(-1)
    if (top === undefined) continue
    for (const reference of tags.map(referenceOf)) {
      const repository = repositories[familiarRepository(reference)] ??= {}
      repository[reference.tag ?? "latest"] = splitDigest(top.diffId)[1]
    }
  }
  return Object.keys(repositories).length === 0 ? null : json(repositories)
}
