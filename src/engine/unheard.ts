import * as Effect from "effect/Effect"
import { nounOf } from "../../machines/words.ts"
import { Loop } from "./loop.ts"
import { outcomeOf, PullFault, Watchers } from "./requests/pull.ts"

/**
 * Says in the log how a pull failed that no client waits for any more, for as long as the engine
 * runs: one that was taken up again after a start, or whose clients have left.
 */
export const tellUnheard = Effect.gen(function*() {
  const loop = yield* Loop
  const watchers = yield* Watchers
  const say = Effect.runForkWith(yield* Effect.context<never>())
  const stop = loop.listen((transition) => {
    const { address, event, snapshot } = transition
    if (nounOf(address) !== "image" || !event.type.endsWith("Failed")) return
    const { reference } = snapshot.context as { readonly reference: string }
    if (reference === "" || (watchers.get(address)?.clients ?? 0) > 0) return
    const outcome = outcomeOf(transition)
    if (!(outcome instanceof PullFault)) return
    const fate = snapshot.matches("parked") ? "is parked" : "has failed"
    say(Effect.logInfo(`the pull of ${reference} ${fate}, and no client listens: ${outcome.cause}`))
  })
  yield* Effect.addFinalizer(() => Effect.sync(stop))
})
