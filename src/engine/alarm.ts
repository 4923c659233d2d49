import * as Effect from "effect/Effect"

/**
 * One alarm for the nearest of many timers, by the monotonic clock. Set to an earlier moment, it
 * rings then instead; once it has rung, whoever is woken sets it anew.
 */
export class Alarm {
  readonly #run: (effect: Effect.Effect<unknown>) => unknown
  readonly #monoMs: () => number
  readonly #ring: () => void
  #dueMs = Infinity
  #epoch = 0

  constructor(
    run: (effect: Effect.Effect<unknown>) => unknown,
    monoMs: () => number,
    ring: () => void,
  ) {
    this.#run = run
    this.#monoMs = monoMs
    this.#ring = ring
  }

  /** Rings at `dueMs`, unless it is to ring sooner anyway; Infinity: not for this. */
  set(dueMs: number): void {
    if (dueMs >= this.#dueMs) return
    const epoch = ++this.#epoch
    this.#dueMs = dueMs
    const ring = Effect.sync(() => {
      if (this.#epoch !== epoch) return
      this.#dueMs = Infinity
      this.#ring()
    })
    this.#run(Effect.andThen(Effect.sleep(Math.max(0, dueMs - this.#monoMs())), ring))
  }
}
