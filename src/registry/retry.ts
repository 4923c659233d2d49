import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { isUnreached, type RegistryFault } from "./faults.ts"

/** When to try again. balenaEngine's: 2, 4, 8 … s, at most 300 s, for ever. */
export interface Backoff {
  readonly baseMs: number
  readonly maxMs: number
}
export const BACKOFF: Backoff = { baseMs: 2_000, maxMs: 300_000 }

/** Up to a quarter less, so that a fleet that lost its registry does not return in one instant. */
const JITTER = 0.25
/** A registry that asks for more than this is believed for this long. */
const RETRY_AFTER_MAX_MS = 3_600_000

/** How long to wait before try number `tries + 1`, in ms; `tries` counts from 1. */
export const delayMs = (backoff: Backoff, tries: number, fault: RegistryFault) =>
  Effect.map(Random.next, (random) => {
    const nominal = Math.min(backoff.maxMs, backoff.baseMs * 2 ** Math.min(tries - 1, 30))
    const jittered = Math.round(nominal * (1 - JITTER * random))
    return Math.max(jittered, Math.min(fault.retryAfterMs ?? 0, RETRY_AFTER_MAX_MS))
  })

export interface Persistence {
  readonly backoff: Backoff
  /** How long somebody waits who is not told of the tries between; Infinity: all are seen. */
  readonly patienceMs: number
  readonly retrying: (cause: string, afterMs: number) => void
}

/** A person waits this long for a first word, beside what the requests themselves take. */
export const FIRST_WORD_MS = 15_000

/**
 * Repeats a short conversation while its fault is a passing one and there is patience. Where that
 * has an end, a host that cannot be reached at all ends it at once, as in Docker: most often its
 * name is mistyped. What came damaged is asked for once more.
 */
export const persist = <A, R>(
  effect: Effect.Effect<A, RegistryFault, R>,
  { backoff, patienceMs, retrying }: Persistence,
): Effect.Effect<A, RegistryFault, R> =>
  Effect.clockWith((clock) => {
    const nowMs = () => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
    const untilMs = nowMs() + patienceMs
    const attempt = (tries: number): Effect.Effect<A, RegistryFault, R> =>
      effect.pipe(Effect.catch((fault) =>
        Effect.gen(function*() {
          const damaged = fault.reason === "digestMismatch" && tries === 1
          const hopeless = patienceMs !== Infinity && isUnreached(fault)
          if (!damaged && (!fault.passing || hopeless)) return yield* fault
          const waitMs = damaged ? 0 : yield* delayMs(backoff, tries, fault)
          if (nowMs() + waitMs > untilMs) return yield* fault
          retrying(fault.cause, waitMs)
          yield* Effect.sleep(waitMs)
          return yield* attempt(tries + 1)
        })
      ))
    return attempt(1)
  })

/** dockerd's `max-upload-attempts`. */
const TRIES_MAX = 5

/**
 * Tries in a row that brought nothing: waited between as in a pull, but given up after five, as in
 * dockerd, since whoever pushes is there to push again.
 */
export class Tries {
  readonly #backoff: Backoff
  readonly #retrying: Persistence["retrying"]
  #tries = 0

  constructor({ backoff, retrying }: Pick<Persistence, "backoff" | "retrying">) {
    this.#backoff = backoff
    this.#retrying = retrying
  }

  /** Something has come of the last one: the count begins anew. */
  reset(): void {
    this.#tries = 0
  }

  /** Sleeps if another try is worth it; fails if not. */
  waitOut(fault: RegistryFault): Effect.Effect<void, RegistryFault> {
    return Effect.gen({ self: this }, function*() {
      this.#tries += 1
      if (!fault.passing || this.#tries === TRIES_MAX) return yield* fault
      const waitMs = yield* delayMs(this.#backoff, this.#tries, fault)
      this.#retrying(fault.cause, waitMs)
      yield* Effect.sleep(waitMs)
    })
  }

  /** Repeats a conversation until it has an outcome, or is given up. */
  repeat<A, R>(work: Effect.Effect<A, RegistryFault, R>): Effect.Effect<A, RegistryFault, R> {
    return Effect.catch(work, (fault) =>
      Effect.andThen(this.waitOut(fault), Effect.suspend(() => this.repeat(work))))
  }
}
