import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { whenQuiet } from "../../src/engine/quiet.ts"

const QUIET_MS = 5_000

const world = Effect.gen(function*() {
  let acts = 0
  const stir = yield* whenQuiet(QUIET_MS, Effect.sync(() => void acts++))
  const pass = (ms: number) => TestClock.adjust(ms)
  return { stir, pass, acts: () => acts }
})

it.effect("acts once it has been quiet for long enough, and not before", () =>
  Effect.gen(function*() {
    const { stir, pass, acts } = yield* world
    stir()
    for (let n = 0; n < 4; n++) {
      yield* pass(QUIET_MS - 1)
      expect(acts()).toBe(0)
      stir()
    }
    yield* pass(QUIET_MS)
    expect(acts()).toBe(1)
  }))

it.effect("acts no second time unless something stirs", () =>
  Effect.gen(function*() {
    const { stir, pass, acts } = yield* world
    yield* pass(10 * QUIET_MS)
    expect(acts()).toBe(0)
    stir()
    yield* pass(10 * QUIET_MS)
    expect(acts()).toBe(1)
    stir()
    yield* pass(QUIET_MS)
    expect(acts()).toBe(2)
  }))

it.effect("what stirs while it acts counts as well", () =>
  Effect.gen(function*() {
    let acts = 0
    const stir: () => void = yield* whenQuiet(QUIET_MS, Effect.sync(() => {
      if (acts++ === 0) stir()
    }))
    stir()
    yield* TestClock.adjust(QUIET_MS)
    expect(acts).toBe(1)
    yield* TestClock.adjust(QUIET_MS)
    expect(acts).toBe(2)
  }))
