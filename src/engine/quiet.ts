import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import { collectAll, pageOut, residentBytes } from "../kernel/memory.ts"

/**
 * Acts each time nothing has stirred for `quietMs`; answers what says that something does. Costs
 * nothing while it is quiet: no timer runs from the act to the next stir.
 */
export const whenQuiet = Effect.fnUntraced(function*(quietMs: number, act: Effect.Effect<void>) {
  const clock = yield* Clock.Clock
  const nowMs = () => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
  const run = yield* FiberHandle.makeRuntime<never, never, void>()
  let lastMs = 0
  let waiting = false
  const wait = Effect.gen(function*() {
    for (;;) {
      const leftMs = lastMs + quietMs - nowMs()
      if (leftMs <= 0) break
      yield* Effect.sleep(leftMs)
    }
    waiting = false
    yield* act
  })
  return (): void => {
    lastMs = nowMs()
    if (waiting) return
    waiting = true
    run(wait)
  }
})

/** Less than this is not worth a collection, nor the reading from the disk that follows. */
const ANONYMOUS_WORTH = 2 * 2 ** 20
/** What a start maps and touches is twice this, what the usual requests need is half of it. */
const FILES_WORTH = 24 * 2 ** 20

/**
 * Gives memory back that nothing needs while nothing happens: garbage, what malloc keeps, and pages
 * of the program that were only for its start. An engine that is asked the same things again and
 * again finds nothing to give the second time.
 */
export const makeGiveBack = (): Effect.Effect<void> => {
  let kept = 0
  return Effect.sync(() => {
    const { anonymous, files } = residentBytes()
    if (anonymous > kept + ANONYMOUS_WORTH) {
      collectAll()
      kept = residentBytes().anonymous
    }
    if (files > FILES_WORTH) pageOut()
  })
}
