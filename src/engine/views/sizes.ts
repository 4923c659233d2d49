import * as Effect from "effect/Effect"
import { bytesBelow } from "../../kernel/usage.ts"
import { Store } from "../../store/store.ts"
import type { ContainerView } from "./container.ts"

/** Bytes of a container: what it has written, and that with its image's layers. */
export const sizesOf = (view: ContainerView) =>
  Effect.gen(function*() {
    const store = yield* Store
    const own = yield* Effect.promise(() => bytesBelow(`${view.home}/upper`))
    const layers = store.containers.get(view.id)?.layers ?? []
    const image = layers.reduce((sum, address) => sum + (store.layers.get(address)?.bytes ?? 0), 0)
    return { own, whole: own + image }
  })
