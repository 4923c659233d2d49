import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { digestOf } from "../oci/digest.ts"
import {
  blobPath, savedImageManifest, savedIndex, savedLayout, savedManifest, savedRepositories,
} from "../oci/saved.ts"
import { LayerDamaged } from "./damage.ts"
import { tarPadding, ustarHeader } from "../oci/ustar.ts"

/** A layer to be saved: its tar, whose size and digest are known. */
export interface LayerToSave {
  readonly diffId: string
  readonly size: number
  /** Begins reading the tar. May throw `LayerDamaged` on the way. */
  readonly stream: () => Iterable<Uint8Array>
}

export interface ImageToSave {
  readonly imageId: string
  /** Its configuration, byte for byte. */
  readonly config: Uint8Array
  /** Canonical references with a tag; may be empty. */
  readonly tags: readonly string[]
  /** Lowest first. */
  readonly layers: readonly LayerToSave[]
}

/**
 * A `docker save` archive of some images, piece by piece: the OCI image layout with Docker's
 * `manifest.json` and `repositories` beside it, as Docker 25 and later write it and every Docker
 * since 1.10 loads it. What images share is written once. The same images give the same bytes.
 */
export function* saveArchive(images: readonly ImageToSave[]): Generator<Uint8Array> {
  const described = images.map((image) => {
    const entry = { ...image, configSize: image.config.length }
    return { image: entry, manifest: savedImageManifest(entry) }
  })
  const written = new Set<string>()
  const isNew = (digest: string) => !written.has(digest) && written.add(digest)

  yield ustarHeader("blobs/", 0, true)
  yield ustarHeader("blobs/sha256/", 0, true)
  for (const { image, manifest } of described) {
    for (const layer of image.layers) if (isNew(layer.diffId)) yield* layerFile(layer)
    if (isNew(image.imageId)) yield* file(blobPath(image.imageId), image.config)
    if (isNew(digestOf(manifest))) yield* file(blobPath(digestOf(manifest)), manifest)
  }
  yield* file("index.json", savedIndex(described))
  yield* file("manifest.json", savedManifest(described.map(({ image }) => image)))
  yield* file("oci-layout", savedLayout())
  const repositories = savedRepositories(described.map(({ image }) => image))
  if (repositories !== null) yield* file("repositories", repositories)
  yield Buffer.alloc(1024)
}

/**
 * `saveArchive` as an Effect stream, letting others run between the pieces. A layer that proves
 * damaged ends it in the middle.
 */
export const saveStream = (
  images: readonly ImageToSave[],
): Stream.Stream<Uint8Array, LayerDamaged> =>
  Stream.suspend(() => {
    const archive = saveArchive(images)
    return Stream.unfold(archive, takeOne).pipe(
      Stream.ensuring(Effect.sync(() => archive.return(undefined))),
    )
  })

const takeOne = (archive: Generator<Uint8Array>) =>
  Effect.andThen(Effect.yieldNow, Effect.suspend(() => {
    try {
      const { done, value } = archive.next()
      return Effect.succeed(done ? undefined : [value, archive] as const)
    } catch (error) {
      return error instanceof LayerDamaged ? Effect.fail(error) : Effect.die(error)
    }
  }))

function* file(name: string, content: Uint8Array): Generator<Uint8Array> {
  yield ustarHeader(name, content.length)
  yield content
  yield tarPadding(content.length)
}

function* layerFile({ diffId, size, stream }: LayerToSave): Generator<Uint8Array> {
  yield ustarHeader(blobPath(diffId), size)
  let sent = 0
  for (const piece of stream()) {
    sent += piece.length
    if (sent > size) break
    yield piece
  }
  if (sent !== size) {
    throw new LayerDamaged({ file: diffId, cause: `its tar does not have ${size} bytes` })
  }
  yield tarPadding(size)
}
