import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { Directories } from "../../kernel/directories.ts"
import { LayerTar } from "../../layers/rebuild.ts"
import { type ImageToSave, saveStream } from "../../layers/save.ts"
import { spool } from "../../layers/spool.ts"
import { Store } from "../../store/store.ts"
import { Paths } from "../paths.ts"
import { load } from "../requests/load.ts"
import type { PullNews } from "../requests/pull.ts"
import { findImage } from "../views/image.ts"

/** The most an archive may hold: the disk is full long before. */
const ARCHIVE_BYTES_MAX = 1024 ** 4

/**
 * Loads the archive a client sends: puts it down first, as `docker save` has written its manifest
 * last. The file is gone at the end, whatever the end is.
 */
export const loadArchive = (source: AsyncIterable<Uint8Array>, tell: (news: PullNews) => void) =>
  Effect.scoped(Effect.gen(function*() {
    const paths = yield* Paths
    const directories = yield* Directories
    yield* directories.names(paths.spool) // makes it
    const epoch = yield* Random.nextIntBetween(0, 2 ** 31)
    const now = yield* Clock.currentTimeMillis
    const path = `${paths.spool}/load-${now.toString(36)}-${epoch.toString(36)}.tar`
    yield* Effect.addFinalizer(() => directories.discard(path))
    yield* spool(source, path, ARCHIVE_BYTES_MAX)
    return yield* load(path, tell)
  }))

/** A layer's tar, read only once somebody wants it. */
function* tarOf(directory: string): Generator<Uint8Array> {
  const tar = LayerTar.open(directory)
  try {
    yield* tar.chunks()
  } finally {
    tar.close()
  }
}

/** What `docker save` gives for these names: an image under its name, or by ID without any. */
export const saveImages = (names: readonly string[]) =>
  Effect.gen(function*() {
    const store = yield* Store
    const paths = yield* Paths
    const images = new Map<string, { tags: string[] }>()
    for (const name of names) {
      const { imageId, reference } = yield* findImage(name)
      const entry = images.get(imageId) ?? { tags: [] }
      if (reference !== null && !reference.includes("@")) entry.tags.push(reference)
      images.set(imageId, entry)
    }
    const toSave = [...images].map(([imageId, { tags }]): ImageToSave => ({
      imageId,
      config: store.images.get(imageId)!.config,
      tags,
      layers: store.images.layers(imageId).map((address) => {
        const row = store.layers.get(address)!
        const directory = paths.layer(row.id)
        return { diffId: row.diff_id, size: row.tar_bytes, stream: () => tarOf(directory) }
      }),
    }))
    return saveStream(toSave)
  })
