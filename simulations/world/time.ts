import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scheduler from "effect/Scheduler"

/** Numbers in [0, 1) from a seed: mulberry32, small and good enough to choose faults by. */
export const randomOf = (seed: number): (() => number) => {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/** Something that can die: a process with all its fibers, or the machine below it. */
export class Life {
  alive = true
}

interface Sleep {
  readonly dueMs: number
  readonly order: number
  readonly life: Life
  readonly wake: () => void
}

/**
 * Time and chance of one simulated world. Whatever is ready runs in an order that the seed chooses;
 * time moves only when nothing is ready. What belongs to a life that has ended never runs again:
 * that is what a killed process leaves of its memory. Monotonic and wall clock are apart, so that
 * the wall clock can be set without time passing.
 */
export class Time {
  readonly random: () => number
  monoMs = 1_000
  wallSkewMs = 1_750_000_000_000
  steps = 0
  #ready: { readonly task: () => void; readonly life: Life }[] = []
  #sleeps: Sleep[] = []
  #order = 0

  constructor(seed: number) {
    this.random = randomOf(seed)
  }

  /** A whole number from `low` up to, but not including, `high`. */
  between(low: number, high: number): number {
    return low + Math.floor(this.random() * (high - low))
  }
  chance(share: number): boolean {
    return this.random() < share
  }
  oneOf<A>(all: readonly A[]): A {
    return all[this.between(0, all.length)]!
  }

  /** Does something in `delayMs`, if its life lasts so long. */
  later(life: Life, delayMs: number, wake: () => void): void {
    this.#sleeps.push({ dueMs: this.monoMs + delayMs, order: this.#order++, life, wake })
  }

  scheduler(life: Life): Scheduler.Scheduler {
    const dispatcher = {
      scheduleTask: (task: () => void) => {
        this.#ready.push({ task, life })
      },
      flush: () => {},
    }
    return {
      executionMode: "async",
      shouldYield: (fiber) => fiber.currentOpCount >= 2048,
      makeDispatcher: () => dispatcher,
    }
  }

  clock(life: Life): Clock.Clock {
    const wallMs = () => this.monoMs + this.wallSkewMs
    const monoNanos = () => BigInt(this.monoMs) * 1_000_000n
    return {
      currentTimeMillisUnsafe: wallMs,
      currentTimeMillis: Effect.sync(wallMs),
      currentTimeNanosUnsafe: () => BigInt(wallMs()) * 1_000_000n,
      currentTimeNanos: Effect.sync(() => BigInt(wallMs()) * 1_000_000n),
      monotonicTimeNanosUnsafe: monoNanos,
      monotonicTimeNanos: Effect.sync(monoNanos),
      sleep: (duration) =>
        Effect.callback<void>((resume) => {
          this.later(life, Duration.toMillis(duration), () => resume(Effect.void))
        }),
    }
  }

  /** Runs at most so many steps; answers false once nothing is left to happen before `untilMs`. */
  run(steps: number, untilMs = Infinity): boolean {
    for (let left = steps; left > 0; left--) {
      if (!this.#step(untilMs)) return false
    }
    return true
  }

  #step(untilMs: number): boolean {
    this.steps++
    if (this.#ready.length > 0) {
      const at = this.between(0, this.#ready.length)
      const { task, life } = this.#ready[at]!
      this.#ready[at] = this.#ready.at(-1)!
      this.#ready.pop()
      if (life.alive) task()
      return true
    }
    this.#sleeps = this.#sleeps.filter(({ life }) => life.alive)
    const next = this.#sleeps.reduce<Sleep | undefined>((first, one) =>
      first === undefined || one.dueMs < first.dueMs ||
        (one.dueMs === first.dueMs && one.order < first.order)
        ? one
        : first, undefined)
    if (next === undefined || next.dueMs > untilMs) return false
    this.#sleeps.splice(this.#sleeps.indexOf(next), 1)
    this.monoMs = Math.max(this.monoMs, next.dueMs)
    next.wake()
    return true
  }
}
