import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { expect, test } from "vitest"
import { simBallast, SimDatabase } from "../../simulations/world/disk.ts"
import type { Hand, MachineEvent } from "../../src/engine/hand.ts"
import { LoopBody } from "../../src/engine/loop.ts"
import { StoreBody } from "../../src/store/store.ts"

const LAYER = "layer/sha256:1"
const want = { type: "want", source: { kind: "archive" }, from: "image/a" }

/** A loop on a simulated disk that can be full; `fetch` is what its layers' hand does. */
const open = (fetch: Hand["run"]) =>
  Effect.gen(function*() {
    const database = new SimDatabase()
    database.ballast = true
    const store = new StoreBody(database)
    const loop = new LoopBody({
      store,
      wal: { sync: Effect.sync(() => database.sync()), size: () => 0 },
      ballast: simBallast(database),
      clock: yield* Clock.Clock,
      context: yield* Effect.context<never>(),
      boot: 1,
      fatal: (cause) => { throw new Error(`fatal: ${String(cause)}`) },
    })
    loop.employ({ "layer.fetch": { kind: "long", run: fetch } })
    return { database, store, loop }
  })

const run = <A>(effect: Effect.Effect<A, unknown>) => Effect.runPromise(effect as Effect.Effect<A>)
const pull = (name: string) => ({ type: "pull", reference: name, platform: null })
const eventsOf = (store: StoreBody) =>
  store.journal.history(LAYER, 9).map(({ event }) => (JSON.parse(event) as { type: string }).type)

test("the ballast is spent first; then a request is told, and leaves no trace", () =>
  run(Effect.gen(function*() {
    const { database, store, loop } = yield* open(() => Effect.never)
    loop.employ({ "image.resolve": { kind: "long", run: () => Effect.never } })
    database.room = 0
    for (const name of ["a", "b", "c", "d"]) {
      yield* loop.ask(`image/${name}`, pull(name), () => true)
    }
    const rows = store.journal.history(null, 99).length
    const fault = yield* Effect.flip(loop.ask("image/e", pull("e"), () => true))
    expect(fault.reason).toBe("noRoom")
    expect(fault.message).toMatch(/^no space left on device: .*make room on the disk/)
    expect(loop.snapshot("image/e")).toBeUndefined()
    expect(store.journal.history(null, 99)).toHaveLength(rows)
    database.room = Infinity
    yield* loop.ask("image/e", pull("e"), () => true)
    yield* loop.settled // at rest the ballast is taken again
    database.room = 0
    yield* loop.ask("image/f", pull("f"), () => true)
  })))

test("what nobody may refuse waits in its order, and nothing is in quarantine", () =>
  run(Effect.gen(function*() {
    let answer = (_: MachineEvent) => {}
    const { database, store, loop } = yield* open((order) => {
      answer = order.answer
      return Effect.never
    })
    const wanted = (from: string) => loop.post(LAYER, { ...want, from })
    wanted("image/a")
    yield* loop.settled
    database.room = -9 // not even with the ballast
    wanted("image/b")
    yield* loop.settled // it waits, and nobody waits for it
    answer({ type: "fetched", bytes: 1, tarBytes: 1, entries: 1 })
    wanted("image/c")
    yield* Effect.sleep(20)
    expect(eventsOf(store)).toEqual(["want"])
    database.room = Infinity
    while (eventsOf(store).length < 4) yield* Effect.sleep(20)
    expect(eventsOf(store)).toEqual(["want", "want", "fetched", "want"])
    expect([...loop.living().values()].map(({ quarantine }) => quarantine)).toEqual([null])
  })))

test("a full disk does not keep it from ending", () =>
  run(Effect.gen(function*() {
    const { database, loop } = yield* open(() => Effect.never)
    loop.post(LAYER, want)
    yield* loop.settled
    database.room = -9 // not even with the ballast
    loop.post(LAYER, { type: "want", source: { kind: "archive" }, from: "image/b" })
    yield* loop.stop
    yield* Effect.sleep(1_200) // what waited is not tried on a database that may be closed
  })))
