import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { withStoppedRoot } from "../kernel/stopped-root.ts"
import { PullFault } from "../layers/carrier.ts"
import { Database } from "../store/database.ts"
import { StoreBody } from "../store/store.ts"
import { pathsOf } from "./paths.ts"

/** A layer of a base image: the address of our own, or a directory of the delta store's. */
export type BaseLayer = string

export const isDirectory = (layer: BaseLayer): boolean => layer.startsWith("/")

/** Where the base images of deltas are: this store, and a second one that is only read. */
export class Bases extends Context.Service<Bases, {
  /** IDs of all images that a delta may be against. */
  readonly ids: Effect.Effect<readonly string[]>
  /** The layers of an image, lowest first. Fails with `noBase`. */
  readonly find: (imageId: string) => Effect.Effect<readonly BaseLayer[], PullFault>
}>()("engine/Bases") {}

/** `deltaRoot`: the data root of an engine that does not run; empty: there is none. */
export const basesOf = (store: StoreBody, deltaRoot: string): Bases["Service"] => ({
  ids: Effect.try(() => inDeltaRoot(deltaRoot, idsIn) ?? []).pipe(
    Effect.tapError((error) => Effect.logWarning("the delta store cannot be read", error)),
    Effect.orElseSucceed(() => []),
    Effect.map((second) => [...idsIn(store), ...second]),
  ),
  find: (imageId) =>
    Effect.try({
      try: () => {
        if (store.images.get(imageId) !== undefined) return store.images.layers(imageId)
        const found = inDeltaRoot(deltaRoot, (second) => layersIn(second, deltaRoot, imageId))
        if (found === null) throw new Error(`open ${imageId}: no such file or directory`)
        return found
      },
      catch: (error) => missing(imageId, (error as Error).message),
    }),
})

/** In balenaEngine's words, which its clients know. */
const missing = (imageId: string, cause: string): PullFault =>
  new PullFault({
    reason: "noBase",
    cause: `loading delta base image "${imageId}": failed to get digest ${imageId}: ${cause}`,
  })

const idsIn = ({ images }: StoreBody): readonly string[] => images.all().map(({ id }) => id)

const layersIn = (store: StoreBody, root: string, imageId: string): readonly BaseLayer[] | null =>
  store.images.get(imageId) === undefined
    ? null
    : store.images.layers(imageId).map((layer) =>
      pathsOf(root, "").layer(store.layers.get(layer)!.id)
    )

/** Looks into the delta store; null: there is none. */
const inDeltaRoot = <A>(root: string, look: (store: StoreBody) => A): A | null =>
  root === "" ? null : withStoppedRoot(root, (path) => {
    const store = new StoreBody(new Database(path))
    try {
      return look(store)
    } finally {
      store.db.close()
    }
  })
