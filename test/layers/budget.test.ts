import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { describe, expect, test } from "vitest"
import { Budget, type BudgetLimits, type Checkpoint, type Member } from "../../src/layers/budget.ts"

const limits: BudgetLimits = {
  checkpointBytes: 80,
  receiveBytes: 100,
  newBytesMin: 10,
  outputBytes: 1000,
  intervalMs: 30_000,
  intervalBytesMin: 5,
  starvedMs: 1_000,
}

const setup = () => {
  const sent: Checkpoint[] = []
  const fail = { error: null as Error | null }
  const barrier = (members: readonly Member[]) => {
    if (fail.error !== null) throw fail.error
    return members.map((member) => Uint8Array.of(member.taken()))
  }
  const budget = new Budget(barrier, (checkpoint) => sent.push(checkpoint), limits)
  const member = (id: number) => {
    const state = { taken: 0, output: 0 }
    budget.join({ id, taken: () => state.taken, output: () => state.output })
    return {
      state,
      take: (bytes: number) => {
        state.taken += bytes
        return budget.due(id, bytes)
      },
      park: budget.park(id),
    }
  }
  return { sent, budget, member, fail }
}

const run = <A>(effect: Effect.Effect<A, unknown>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, TestClock.layer()) as Effect.Effect<A>)

describe("the budget", () => {
  test("one checkpoint for all, when their sum is used up", () =>
    run(Effect.gen(function*() {
      const { sent, budget, member } = setup()
      const [a, b] = [member(1), member(2)]
      expect(yield* a.take(40)).toBe(false)
      expect(yield* b.take(30)).toBe(false)
      expect(yield* a.take(10)).toBe(true)
      expect(yield* b.take(1)).toBe(true)
      const parked = yield* Effect.forkChild(a.park)
      yield* Effect.yieldNow
      expect(sent).toEqual([])
      yield* b.park
      yield* Fiber.join(parked)
      expect(sent).toEqual([{
        checkpoint: 1,
        states: [{ id: 1, state: Uint8Array.of(50) }, { id: 2, state: Uint8Array.of(31) }],
      }])
      budget.saved(1)
    })))

  test("the next checkpoint waits for the daemon, and so does receiving, a little later", () =>
    run(Effect.gen(function*() {
      const { sent, budget, member } = setup()
      const a = member(1)
      expect(yield* a.take(80)).toBe(true)
      yield* a.park
      expect(yield* a.take(19)).toBe(false)
      yield* budget.room
      expect(yield* a.take(1)).toBe(false)
      const waiting = yield* Effect.forkChild(budget.room)
      yield* Effect.yieldNow
      expect(waiting.pollUnsafe()).toBeUndefined()
      budget.saved(7)
      yield* Effect.yieldNow
      expect(waiting.pollUnsafe()).toBeUndefined()
      budget.saved(1)
      yield* Fiber.join(waiting)
      expect(yield* a.take(60)).toBe(true)
      expect(sent).toHaveLength(1)
    })))

  test("whoever waits for a registry is not waited for, and stays out of it", () =>
    run(Effect.gen(function*() {
      const { sent, budget, member } = setup()
      const [a, b] = [member(1), member(2)]
      yield* b.take(30)
      expect(yield* a.take(50)).toBe(true)
      const parked = yield* Effect.forkChild(a.park)
      yield* Effect.yieldNow
      yield* TestClock.adjust(999)
      expect(sent).toEqual([])
      yield* TestClock.adjust(1)
      yield* Fiber.join(parked)
      expect(sent.map(({ states }) => states.map(({ id }) => id))).toEqual([[1]])
      budget.saved(1)
      // Its 30 still count, but they bring no checkpoint after every single byte.
      expect(yield* a.take(50)).toBe(true)
      yield* Effect.forkChild(a.park)
      yield* TestClock.adjust(1_000)
      budget.saved(2)
      expect(yield* b.take(0)).toBe(false)
    })))

  test("an interval brings a checkpoint, if there is anything new; so does output", () =>
    run(Effect.gen(function*() {
      const { budget, member } = setup()
      const a = member(1)
      expect(yield* a.take(4)).toBe(false)
      yield* TestClock.adjust(30_000)
      expect(yield* a.take(0)).toBe(false)
      expect(yield* a.take(1)).toBe(true)
      yield* a.park
      budget.saved(1)
      a.state.output = 1000
      expect(yield* a.take(1)).toBe(true)
    })))

  test("a layer that ends leaves, but its bytes count until a later checkpoint is kept", () =>
    run(Effect.gen(function*() {
      const { sent, budget, member } = setup()
      const [a, b] = [member(1), member(2)]
      yield* b.take(70)
      budget.leave(2, true)
      expect(yield* a.take(10)).toBe(true)
      yield* a.park
      expect(sent).toHaveLength(1)
      budget.saved(1)
      expect(yield* a.take(70)).toBe(false)
      expect(yield* a.take(10)).toBe(true)
    })))

  test("one that leaves does not keep the others waiting", () =>
    run(Effect.gen(function*() {
      const { sent, budget, member } = setup()
      const [a] = [member(1), member(2)]
      expect(yield* a.take(80)).toBe(true)
      const parked = yield* Effect.forkChild(a.park)
      yield* Effect.yieldNow
      budget.leave(2, false)
      yield* Fiber.join(parked)
      expect(sent).toHaveLength(1)
      budget.saved(1)
      // The last one leaves while a checkpoint is being gathered: the next fetch starts in peace.
      expect(yield* a.take(80)).toBe(true)
      budget.leave(1, false)
      const c = member(3)
      expect(yield* c.take(1)).toBe(false)
      yield* budget.room
    })))

  test("a checkpoint that nobody waits for any more keeps nobody waiting", () =>
    run(Effect.gen(function*() {
      const { sent, budget, member } = setup()
      const a = member(1)
      yield* a.take(80)
      yield* a.park
      budget.leave(1, false)
      const b = member(2)
      expect(yield* b.take(80)).toBe(true)
      yield* b.park
      budget.saved(1)
      expect(yield* b.take(80)).toBe(false)
      budget.saved(2)
      expect(yield* b.take(1)).toBe(true)
      expect(sent).toHaveLength(2)
    })))

  test("a barrier that fails is the failure of all who waited for it, and of nobody else", () =>
    run(Effect.gen(function*() {
      const { sent, budget, member, fail } = setup()
      const [a, b, c] = [member(1), member(2), member(3)]
      fail.error = new Error("EIO")
      yield* a.take(80)
      const parked = yield* Effect.forkChild(Effect.flip(a.park))
      const other = yield* Effect.forkChild(Effect.flip(b.park))
      yield* Effect.yieldNow
      yield* TestClock.adjust(1_000)
      expect(yield* Fiber.join(parked)).toBe(fail.error)
      expect(yield* Fiber.join(other)).toBe(fail.error)
      expect(sent).toEqual([])
      for (const id of [1, 2]) budget.leave(id, false)
      fail.error = null
      expect(yield* c.take(80)).toBe(true)
      yield* c.park
      expect(sent).toHaveLength(1)
    })))
})
