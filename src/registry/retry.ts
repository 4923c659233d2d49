import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { nobodyThere, type RegistryFault } from "./faults.ts"

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

export interface FewTries {
  readonly backoff: Backoff
  readonly triesMax: number
  readonly retrying: (cause: string, afterMs: number) => void
}

/** A person waits for this: a registry that asks for more patience than this ends it. */
const PATIENCE_MS = 60_000

/**
 * Repeats a short conversation while its fault is a passing one, a few times. A host where nobody
 * listens ends it at once, as in Docker: most often its name is mistyped. What came damaged is
 * asked for once more.
 */
export const fewTries = <A, R>(
  effect: Effect.Effect<A, RegistryFault, R>,
  { backoff, triesMax, retrying }: FewTries,
): Effect.Effect<A, RegistryFault, R> => {
  const attempt = (tries: number): Effect.Effect<A, RegistryFault, R> =>
    effect.pipe(Effect.catch((fault) =>
      Effect.gen(function*() {
        const damaged = fault.reason === "digestMismatch" && tries === 1
        const worthIt = damaged || (fault.passing && !nobodyThere(fault))
        if (!worthIt || tries >= triesMax) return yield* fault
        const waitMs = damaged ? 0 : yield* delayMs(backoff, tries, fault)
        if (waitMs > PATIENCE_MS && waitMs > backoff.maxMs) return yield* fault
        retrying(fault.cause, waitMs)
        yield* Effect.sleep(waitMs)
        return yield* attempt(tries + 1)
      })
    ))
  return attempt(1)
}
