import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Result from "effect/Result"
import * as TestClock from "effect/testing/TestClock"
import { expect, test } from "vitest"
import type { MachineEvent } from "../../src/engine/hand.ts"
import { Keyring } from "../../src/engine/keyring.ts"
import { Loop, LoopBody } from "../../src/engine/loop.ts"
import { ProgressBoard, ProgressBody } from "../../src/engine/progress.ts"
import { pull, Watchers } from "../../src/engine/requests/pull.ts"
import { tellUnheard } from "../../src/engine/unheard.ts"
import { parseReference } from "../../src/oci/reference.ts"
import { Database } from "../../src/store/database.ts"
import { Store, StoreBody } from "../../src/store/store.ts"

const REFERENCE = "example.org/app:1"
const ADDRESS = `image/${REFERENCE}`
const wanted = {
  reference: Result.getOrThrow(parseReference(REFERENCE)), platform: null, credentials: null,
}

/** An engine whose registry answers when it is told to, on a clock that is moved by hand. */
const open = Effect.gen(function*() {
  let answer: (event: MachineEvent) => void = () => {}
  const store = new StoreBody(new Database(":memory:"))
  const loop = new LoopBody({
    store,
    wal: { sync: Effect.void, size: () => 0 },
    ballast: { give: () => false, take: () => {} },
    clock: yield* Clock.Clock,
    context: yield* Effect.context<never>(),
    boot: 1,
    fatal: (cause) => {
      throw new Error(`fatal: ${String(cause)}`)
    },
  })
  const resolve = Effect.callback<MachineEvent>((resume) => {
    answer = (event) => resume(Effect.succeed(event))
  })
  loop.employ({
    "image.resolve": { kind: "long", run: () => resolve },
    "layer.sweep": { kind: "short", run: () => Effect.void },
  })
  const services = Context.make(Loop, loop).pipe(
    Context.add(Store, store),
    Context.add(Keyring, new Map()),
    Context.add(Watchers, new Map()),
    Context.add(ProgressBoard, new ProgressBody()),
  )
  /** A client that pulls; once it is heard. */
  const client = Effect.gen(function*() {
    const fiber = yield* Effect.forkDetach(
      Effect.result(Effect.provideContext(pull(wanted, () => {}), services)),
    )
    yield* Effect.yieldNow
    yield* loop.settled
    return fiber
  })
  const stateOf = Effect.map(loop.settled, () => loop.snapshot(ADDRESS)?.value)
  const fail = (cause: string) =>
    Effect.suspend(() => {
      answer({ type: "resolveFailed", reason: "unreachable", cause })
      return Effect.andThen(Effect.yieldNow, Effect.andThen(Effect.yieldNow, loop.settled))
    })
  return { client, stateOf, fail, services }
})

const said: string[] = []
const listening = Logger.layer([Logger.make(({ logLevel, message }) => {
  said.push(`${logLevel} ${String(message)}`)
})])
const run = <A>(effect: Effect.Effect<A, unknown, never>): Promise<A> => {
  said.length = 0
  return Effect.runPromise(Effect.provide(effect, Layer.merge(TestClock.layer(), listening)))
}

test("a pull is parked when its last client has been gone for the grace", () =>
  run(Effect.gen(function*() {
    const { client, stateOf } = yield* open
    yield* Fiber.interrupt(yield* client)
    yield* TestClock.adjust("29 seconds")
    expect(yield* stateOf).toBe("resolving")
    yield* TestClock.adjust("1 second")
    expect(yield* stateOf).toBe("parked")
  })))

test("the grace is counted from the last client's leaving, not from the first's", () =>
  run(Effect.gen(function*() {
    const { client, stateOf } = yield* open
    const first = yield* client
    yield* Fiber.interrupt(first)
    yield* TestClock.adjust("20 seconds")
    const second = yield* client
    yield* TestClock.adjust("5 seconds")
    yield* Fiber.interrupt(second)
    yield* TestClock.adjust("29 seconds") // long after the first one's grace
    expect(yield* stateOf).toBe("resolving")
    const [third, fourth] = [yield* client, yield* client]
    yield* Fiber.interrupt(third)
    yield* TestClock.adjust("40 seconds")
    expect(yield* stateOf).toBe("resolving")
    yield* Fiber.interrupt(fourth)
    yield* TestClock.adjust("30 seconds")
    expect(yield* stateOf).toBe("parked")
  })))

test("a failure that no client hears is in the log, and one that a client hears is not", () =>
  run(Effect.scoped(Effect.gen(function*() {
    const { client, fail, services } = yield* open
    yield* Effect.provideContext(tellUnheard, services)
    const heard = yield* client
    yield* fail("no route to host")
    expect(Result.isFailure(yield* Fiber.join(heard))).toBe(true)
    expect(said).toEqual([])
    yield* Fiber.interrupt(yield* client)
    yield* fail("no route to host")
    expect(said).toEqual([
      `Info the pull of ${REFERENCE} has failed, and no client listens: no route to host`,
    ])
  }))))
