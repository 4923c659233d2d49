import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type ImageConfig, parseImageConfig } from "../../oci/image-config.ts"
import { formatReference, parseImageName, withDefaultTag } from "../../oci/reference.ts"
import type { ImageRow } from "../../store/images.ts"
import type { LayerRow } from "../../store/layers.ts"
import { Store, type StoreBody } from "../../store/store.ts"
import { Paths } from "../paths.ts"

/** A name that leads to no image, or to several. */
export class ImageNameFault extends Schema.TaggedError<ImageNameFault>()("ImageNameFault", {
  reason: Schema.Literals(["notFound", "ambiguous", "malformed"]),
  name: Schema.String,
  cause: Schema.String,
}) {}

/** An image as it is looked at. */
export interface ImageView {
  readonly row: ImageRow
  readonly config: ImageConfig
  /** Canonical references. */
  readonly tags: readonly string[]
  readonly digests: readonly string[]
  /** Lowest first, and the directories of their files. */
  readonly layers: readonly LayerRow[]
  readonly directories: readonly string[]
  /** Bytes of file content in all layers. */
  readonly bytes: number
  /** Containers made of it. */
  readonly containers: number
}

/** How a name led to an image: by its ID or a part of it, or by one of its names. */
export interface Found {
  readonly imageId: string
  /** Canonical; null: the ID was given. */
  readonly reference: string | null
}

const fault = (reason: ImageNameFault["reason"], name: string, cause = "") =>
  Effect.fail(new ImageNameFault({ reason, name, cause }))

/** Finds the image a client names. A reference goes before an ID prefix, as under Docker. */
export const findImage = (name: string): Effect.Effect<Found, ImageNameFault, Store> =>
  Effect.gen(function*() {
    const store = yield* Store
    const parsed = parseImageName(name)
    if (Result.isFailure(parsed)) return yield* fault("malformed", name, parsed.failure.cause)
    const { id, idPrefix, reference } = parsed.success
    if (id !== null) {
      return store.images.get(id) === undefined
        ? yield* fault("notFound", name)
        : { imageId: id, reference: null }
    }
    if (reference !== null) {
      const canonical = formatReference(withDefaultTag(reference))
      const imageId = store.images.byReference(canonical)
      if (imageId !== undefined) return { imageId, reference: canonical }
    }
    const [first, second] = idPrefix === null ? [] : store.images.byPrefix(`sha256:${idPrefix}`)
    if (second !== undefined) return yield* fault("ambiguous", name)
    if (first === undefined) return yield* fault("notFound", name)
    return { imageId: first, reference: null }
  })

const viewOf = (
  store: StoreBody,
  paths: Paths["Service"],
  row: ImageRow,
  names: { tags: readonly string[]; digests: readonly string[] },
): ImageView => {
  const layers = store.images.layers(row.id).map((address) => store.layers.get(address)!)
  return {
    row,
    config: Result.getOrThrow(parseImageConfig(row.config)),
    ...names,
    layers,
    directories: layers.map(({ id }) => `${paths.layer(id)}/diff`),
    bytes: layers.reduce((sum, layer) => sum + layer.bytes, 0),
    containers: store.containers.usersOf(row.id).length,
  }
}

const byImage = (rows: readonly { reference: string; image: string }[]): Map<string, string[]> => {
  const named = new Map<string, string[]>()
  for (const { reference, image } of rows) {
    named.set(image, [...(named.get(image) ?? []), reference])
  }
  return named
}

/** Every image, newest first. */
export const listImages = Effect.gen(function*() {
  const store = yield* Store
  const paths = yield* Paths
  const tags = byImage(store.images.tags())
  const digests = byImage(store.images.digests())
  return store.images.all().map((row) => {
    const names = { tags: tags.get(row.id) ?? [], digests: digests.get(row.id) ?? [] }
    return viewOf(store, paths, row, names)
  })
})

/** One image, by any of its names. */
export const viewImage = (name: string) =>
  Effect.gen(function*() {
    const store = yield* Store
    const paths = yield* Paths
    const { imageId } = yield* findImage(name)
    const tags = byImage(store.images.tags()).get(imageId) ?? []
    const digests = byImage(store.images.digests()).get(imageId) ?? []
    return viewOf(store, paths, store.images.get(imageId)!, { tags, digests })
  })
