import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import { type Address, keyOf, nounOf } from "../../machines/words.ts"
import { Runtime } from "../kernel/runtime.ts"
import type { Terms } from "../oci/terms.ts"
import { Store } from "../store/store.ts"
import { type LogLimits, logLimits } from "./log-limits.ts"
import { Loop } from "./loop.ts"
import { Paths } from "./paths.ts"

/** A log may grow beyond its limit by what its container writes in this time. */
const LOOK_EVERY = "5 seconds"

/**
 * Rotates the logs of running containers, for as long as the engine runs. What it does is not
 * journalled: a rotation that a crash cut short is made up for at the next look, and a log that
 * grew while no engine ran is rotated at the first. Without a log that has a limit it sleeps.
 */
export const keepLogs = Effect.gen(function*() {
  const loop = yield* Loop
  const store = yield* Store
  const runtime = yield* Runtime
  const paths = yield* Paths
  const kept = new Map<Address, LogLimits>()
  const some = Latch.makeUnsafe(false)

  const limitsOf = (address: Address): LogLimits | null => {
    const row = store.containers.get(keyOf(address))
    return row === undefined
      ? null
      : Result.getOrElse(logLimits((row.terms as Terms).log), () => null)
  }
  const consider = (address: Address, runs: boolean): void => {
    const limits = runs ? kept.get(address) ?? limitsOf(address) : null
    if (limits === null) kept.delete(address)
    else kept.set(address, limits)
    if (kept.size > 0) some.openUnsafe()
    else some.closeUnsafe()
  }
  const look = Effect.suspend(() =>
    Effect.forEach([...kept], ([address, limits]) => {
      const id = keyOf(address)
      return Effect.catch(runtime.rotateLog(id, paths.container(id), limits), ({ cause }) =>
        Effect.logWarning(`the log of container ${id} was not rotated: ${cause}`))
    }, { discard: true })
  )
  loop.listen(({ address, snapshot }) => {
    if (nounOf(address) === "container") consider(address, snapshot.hasTag("running"))
  })
  for (const [address, { snapshot }] of loop.living()) {
    if (nounOf(address) === "container") consider(address, snapshot.hasTag("running"))
  }
  const turn = Effect.andThen(some.await, Effect.andThen(look, Effect.sleep(LOOK_EVERY)))
  yield* Effect.forever(turn)
})
