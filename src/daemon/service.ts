import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import { textOf } from "../kernel/machine.ts"
import { notify, watchdogMs } from "../kernel/notify.ts"
import { exitAtOnce } from "../kernel/processes.ts"
import { reloadSettings, type Settings } from "../settings.ts"

/** An end in order takes milliseconds; a device that wants to go down waits no longer than this. */
const END_MS = 10_000

/**
 * Returns when somebody wants the daemon to end: with the signal that said so. From then on it has
 * a while to do so in order: what it is busy with after that, the next start takes up again, as
 * after a power cut.
 */
export const untilSignalled = Effect.gen(function*() {
  const asked = yield* Deferred.make<NodeJS.Signals>()
  const hear = (signal: NodeJS.Signals) => Deferred.doneUnsafe(asked, Effect.succeed(signal))
  process.on("SIGTERM", hear).on("SIGINT", hear)
  yield* Effect.forkDetach(Effect.flatMap(Deferred.await(asked), endAnyway))
  return yield* Deferred.await(asked)
})

const endAnyway = (signal: NodeJS.Signals) =>
  Effect.andThen(Effect.sleep(END_MS), Effect.sync(() => {
    const after = `${END_MS / 1000} s after ${signal}`
    process.stderr.write(`no end in order ${after}: the engine ends as it is\n`)
    exitAtOnce(1)
  }))

/** The settings of a daemon that runs; `words` are what it was started with. */
export interface Live {
  readonly words: readonly string[]
  settings: Settings
}

/**
 * On each SIGHUP: reads all settings again and takes what may change while it runs. A mistake in
 * them changes nothing, and is said in the log.
 */
export const reloading = (live: Live) =>
  Effect.gen(function*() {
    const hangups = yield* Queue.sliding<null>(1)
    process.on("SIGHUP", () => Queue.offerUnsafe(hangups, null))
    yield* Effect.forever(Effect.andThen(Queue.take(hangups), reload(live)))
  })

const reload = (live: Live) =>
  Effect.suspend(() => {
    const read = reloadSettings(live.settings, live.words, textOf)
    if (Result.isFailure(read)) {
      return Effect.logError(`the settings stay as they are: ${read.failure.message}`)
    }
    live.settings = read.success
    return Effect.logInfo("the settings have been read again")
  })

/**
 * Tells the service manager, as often as it wants to hear it, that this thread still turns: all
 * requests and the whole loop run on it. Nothing is written to the disk for it.
 */
export const watchdog = Effect.suspend(() => {
  const everyMs = watchdogMs(process.env, process.pid)
  if (everyMs === null) return Effect.void
  const tell = Effect.sync(() => notify("WATCHDOG=1"))
  return Effect.forever(Effect.andThen(tell, Effect.sleep(everyMs)))
})
