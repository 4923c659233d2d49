import * as Effect from "effect/Effect"
import { nounOf } from "../../../machines/words.ts"
import { Directories } from "../../kernel/directories.ts"
import { Store } from "../../store/store.ts"
import type { Hands } from "../hand.ts"
import { Loop } from "../loop.ts"
import { Paths } from "../paths.ts"

/** Hands for the engine itself: what a start finds to tidy, what gives room when there is none. */
export const engineHands = Effect.gen(function*() {
  const store = yield* Store
  const loop = yield* Loop
  const paths = yield* Paths
  const directories = yield* Directories

  /** What no row names is left of a cut between a directory and its row, or a row and its end. */
  const sweep = Effect.gen(function*() {
    const layers = new Set(store.layers.all().map((row) => paths.layer(row.id)))
    for (const name of yield* directories.names(paths.layers)) {
      const path = `${paths.layers}/${name}`
      if (!layers.has(path)) yield* directories.discard(path)
    }
    const named = (id: string) => loop.snapshot(`container/${id}`) !== undefined
    for (const name of yield* directories.names(paths.containers)) {
      if (!named(name)) yield* directories.discard(paths.container(name))
    }
    for (const name of yield* directories.names(paths.spool)) {
      yield* directories.discard(`${paths.spool}/${name}`)
    }
    for (const layer of store.unnamedLayers()) loop.post(layer, { type: "drop" })
  })

  /** Tells each container that the engine has come up, once it stands still. */
  const announce = Effect.sync(() => {
    for (const [address, { snapshot }] of loop.living()) {
      if (nounOf(address) !== "container") continue
      if (snapshot.hasTag("settled")) loop.post(address, { type: "boot" })
      else {
        const stop = loop.listen((transition) => {
          if (transition.address !== address) return
          if (transition.done) stop()
          else if (transition.snapshot.hasTag("settled")) {
            stop()
            loop.post(address, { type: "boot" })
          }
        })
      }
    }
  })

  const reclaim = Effect.sync(() => {
    for (const [address, { snapshot }] of loop.living()) {
      if (nounOf(address) === "image" && snapshot.matches("parked")) {
        loop.post(address, { type: "forget" })
      }
    }
    for (const layer of store.unnamedLayers()) loop.post(layer, { type: "drop" })
  })

  const hands: Hands = {
    "engine.recover": {
      kind: "short",
      run: () => Effect.as(Effect.andThen(sweep, announce), { type: "recovered" }),
    },
    "engine.reclaim": { kind: "short", run: () => Effect.as(reclaim, { type: "reclaimed" }) },
    "engine.drain": { kind: "short", run: () => Effect.succeed({ type: "drained" }) },
  }
  return hands
})
