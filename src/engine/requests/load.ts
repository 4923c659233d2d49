import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { type Archived, Carrier, PullFault } from "../../layers/carrier.ts"
import type { ImageCargo, NamesCargo } from "../../store/images.ts"
import { Store } from "../../store/store.ts"
import { Bases } from "../bases.ts"
import { leasedOf, neededOf, presentAs } from "../hands/image.ts"
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
export const loadOne = (archived: Archived, tell: (news: PullNews) => void) =>
  Effect.gen(function*() {
    const store = yield* Store
    const loop = yield* Loop
    const { tags } = archived
    const here = presentAs(store, archived)
    const imageId = here ?? archived.imageId
    if (here !== null) {
      const row: NamesCargo = { imageId, tags, digests: [], loaded: true }
      yield* loop.ask(`image/${imageId}`, { type: "tag", row }, () => true)
      return { imageId, tags, present: true }
    }
    const bases = yield* Bases
    const base = archived.delta === null ? null : yield* bases.find(archived.delta.base)
    const row: ImageCargo = {
      config: archived.config,
      manifest: null,
      mediaType: MEDIA_TYPE,
      tags,
      digests: [],
      leased: leasedOf(base),
    }
    const layers = neededOf(archived.layers, base)
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
