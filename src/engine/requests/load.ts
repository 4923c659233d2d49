import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { layerAddress } from "../../../machines/words.ts"
import { type Archived, Carrier, PullFault } from "../../layers/carrier.ts"
import type { ImageCargo, NamesCargo } from "../../store/images.ts"
import { Store } from "../../store/store.ts"
import { Loop } from "../loop.ts"
import { outcomeOf, type PullNews, watchImage } from "./pull.ts"

/** One image of an archive that is now here. */
export interface Loaded {
  readonly imageId: string
  /** Canonical references it was loaded under; none: it has only its ID. */
  readonly tags: readonly string[]
  readonly present: boolean
}

const MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"

/** Loads one image that an archive holds; each layer comes out of the archive, verified. */
const loadOne = (archived: Archived, tell: (news: PullNews) => void) =>
  Effect.gen(function*() {
    const store = yield* Store
    const loop = yield* Loop
    const { imageId, tags } = archived
    if (store.images.get(imageId) !== undefined) {
      const row: NamesCargo = { imageId, tags, digests: [], loaded: true }
      yield* loop.ask(`image/${imageId}`, { type: "tag", row }, () => true)
      return { imageId, tags, present: true }
    }
    const row: ImageCargo = {
      config: archived.config,
      manifest: null,
      mediaType: MEDIA_TYPE,
      tags,
      digests: [],
    }
    const layers = archived.layers.map(({ diffId, source }, position) => ({
      address: layerAddress(diffId, position === 0),
      source,
    }))
    const epoch = yield* Random.nextIntBetween(0, 2 ** 31)
    const address = `image/load-${epoch.toString(36)}-${imageId}`
    yield* watchImage(address, tell)
    const outcome = yield* loop.ask(address, { type: "load", imageId, layers, row }, outcomeOf)
    if (outcome instanceof PullFault) return yield* Effect.fail(outcome)
    return { imageId, tags, present: false }
  }).pipe(Effect.scoped)

/**
 * Loads every image of a `docker save` archive that lies at `path`. What was loaded before one of
 * them fails stays.
 */
export const load = (path: string, tell: (news: PullNews) => void) =>
  Effect.gen(function*() {
    const carrier = yield* Carrier
    const images = yield* carrier.inspect(path)
    const loaded: Loaded[] = []
    for (const archived of images) loaded.push(yield* loadOne(archived, tell))
    return loaded
  })
