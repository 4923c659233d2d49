import * as Effect from "effect/Effect"
import { nounOf } from "../../machines/words.ts"
import { Store } from "../store/store.ts"
import { containerHands } from "./hands/container.ts"
import { engineHands } from "./hands/engine.ts"
import { imageHands } from "./hands/image.ts"
import { layerHands, sweepLayers } from "./hands/layer.ts"
import { pushHands } from "./hands/push.ts"
import { Loop } from "./loop.ts"
import { recover } from "./recovery.ts"

/** The address of the engine's own machine. */
export const ENGINE = "engine"

/**
 * Starts the engine over whatever doors it is given: gives the loop its hands, brings back what the
 * rows say, carries out again what was open. Returns once it can take requests; what only tidies up
 * goes on behind.
 */
export const bootEngine = (reboot: boolean) =>
  Effect.gen(function*() {
    const loop = yield* Loop
    const store = yield* Store
    const hands = yield* Effect.all([
      containerHands, imageHands, layerHands, pushHands, engineHands,
    ])
    loop.employ(Object.assign({}, ...hands))
    // A container that has gone may have been the last to stand on a removed image's layers.
    loop.listen(({ address, done }) => {
      if (done && nounOf(address) === "container") sweepLayers(loop, store)
    })
    yield* recover(loop, store)
    loop.resume()
    loop.post(ENGINE, { type: "boot", reboot })
    yield* loop.settled
  })

/** Takes no more, lets what is in flight be written down; running containers are left alone. */
export const shutdown = Effect.gen(function*() {
  const loop = yield* Loop
  yield* Effect.ignore(loop.ask(ENGINE, { type: "drain" }, ({ snapshot }) =>
    snapshot.matches("down") || undefined))
  yield* loop.stop
})
