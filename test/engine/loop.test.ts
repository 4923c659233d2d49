import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import type { Hand, Hands, Order } from "../../src/engine/hand.ts"
import { LoopBody } from "../../src/engine/loop.ts"
import { recover } from "../../src/engine/recovery.ts"
import { Database } from "../../src/store/database.ts"
import { StoreBody } from "../../src/store/store.ts"

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "be-loop-"))
})
afterEach(() => rmSync(directory, { recursive: true }))

const IMAGE = `sha256:${"a".repeat(64)}`
const short = (run: Hand["run"]): Hand => ({ kind: "short", run })

/** A loop over a real database file; `durable` can be held back to look at what waits for it. */
const open = (hands: Hands, sync: Effect.Effect<void> = Effect.void) =>
  Effect.gen(function*() {
    const store = new StoreBody(new Database(join(directory, "engine.db")))
    const { boot } = store.journal.boot("one")
    const loop = new LoopBody({
      store,
      wal: { sync, size: () => 0 },
      clock: yield* Clock.Clock,
      context: yield* Effect.context<never>(),
      boot,
      fatal: (cause) => { throw new Error(`fatal: ${String(cause)}`) },
    })
    loop.employ(hands)
    yield* recover(loop, store)
    loop.resume()
    return { loop, store }
  })

const addImage = (store: StoreBody) =>
  store.db.run("INSERT INTO image VALUES (?, x'', NULL, '', 0, 0)", IMAGE)
const row = (name: string) => ({
  id: name, name, image: IMAGE, imageName: "i", createdMs: 1, terms: {}, given: {}, layers: [],
})
const create = (name: string, autoRemove = false) => ({
  type: "create", terms: { restart: "no", retries: 0, autoRemove }, row: row(name),
})
const run = <A>(effect: Effect.Effect<A, unknown>) => Effect.runPromise(effect as Effect.Effect<A>)

const runHands = (done: string[], exit: (order: Order) => Effect.Effect<any>): Hands => ({
  "run.start": short((order) => Effect.sync(() => {
    done.push(`start ${order.attempt}`)
    return { type: "started", pid: 7, startTicks: 1, row: {} }
  })),
  "run.wait": { kind: "long", run: exit },
  "run.clean": short(() => Effect.succeed({ type: "cleaned" })),
  "run.delete": short(() => Effect.succeed({ type: "deleted" })),
  "run.signal": short(() => Effect.void),
  "layer.sweep": short(() => Effect.void),
})
const exits = () => Effect.succeed({ type: "exited", exitCode: 3, oomKilled: false, ranMs: 1 })

test("a life from create to removed leaves only its journal", () => run(Effect.gen(function*() {
  const { loop, store } = yield* open(runHands([], exits))
  addImage(store)
  yield* loop.ask("container/c", create("c", true), () => true)
  const code = yield* loop.ask("container/c", { type: "start" }, (t) =>
    t.event.type === "exited" ? t.event["exitCode"] : undefined)
  expect(code).toBe(3)
  yield* loop.settled
  yield* Effect.sleep(20)
  expect(loop.living().size).toBe(0)
  expect(loop.openCommands()).toEqual([])
  expect(store.containers.all()).toEqual([])
  const events = store.journal.history("container/c", 99).map((line) => JSON.parse(line.event).type)
  expect(events).toEqual(["create", "start", "started", "exited", "cleaned", "deleted"])
  expect(store.journal.history("container/c", 99)[0]!.event).not.toContain("terms\":{}")
})))

test("a refused request leaves no trace", () => run(Effect.gen(function*() {
  const { loop, store } = yield* open(runHands([], () => Effect.never))
  addImage(store)
  yield* loop.ask("container/c", create("c"), () => true)
  const rows = store.journal.history(null, 99).length
  const taken = yield* Effect.flip(loop.ask("container/d", create("c"), () => true).pipe(
    Effect.provideService(Clock.Clock, yield* Clock.Clock)))
  expect(taken.reason).toBe("nameTaken")
  const paused = yield* Effect.flip(loop.ask("container/c", { type: "pause" }, () => true))
  expect([paused.reason, paused.state]).toEqual(["refused", "created"])
  const missing = yield* Effect.flip(loop.ask("container/nope", { type: "start" }, () => true))
  expect(missing.reason).toBe("missing")
  expect(store.journal.history(null, 99).length).toBe(rows)
  expect(loop.snapshot("container/d")).toBeUndefined()
})))

test("nothing is done or answered before the log is durable", () => run(Effect.gen(function*() {
  const done: string[] = []
  let release = () => {}
  const sync = Effect.callback<void>((resume) => { release = () => resume(Effect.void) })
  const { loop, store } = yield* open(runHands(done, () => Effect.never), sync)
  addImage(store)
  let answered = false
  yield* Effect.forkChild(Effect.tap(
    loop.ask("container/c", create("c"), () => true), () => Effect.sync(() => { answered = true })))
  yield* Effect.sleep(10)
  expect(store.containers.get("c")).toBeDefined() // committed, though not yet promised to anybody
  expect(answered).toBe(false)
  release()
  yield* Effect.sleep(10)
  expect(answered).toBe(true)
  yield* Effect.forkChild(loop.ask("container/c", { type: "start" }, () => true))
  yield* Effect.sleep(10)
  expect(done).toEqual([])
  release()
  yield* Effect.sleep(10)
  expect(done).toEqual(["start first"])
})))

test("after a crash open commands are done again, timers go on", () => run(Effect.gen(function*() {
  const done: string[] = []
  const first = yield* open(runHands(done, () => Effect.never))
  addImage(first.store)
  yield* first.loop.ask("container/c", create("c"), () => true)
  yield* first.loop.ask("container/c", { type: "start" }, (t) =>
    t.event.type === "started" || undefined)
  yield* Effect.forkChild(first.loop.ask("container/c", { type: "stop", graceMs: 60 }, () => true))
  yield* Effect.sleep(10)
  first.store.db.close() // the process is gone: its memory with it

  const signals: unknown[] = []
  const second = yield* open({
    ...runHands(done, () => Effect.never),
    "run.signal": short(({ params, attempt }) =>
      Effect.sync(() => void signals.push([params.signal, attempt]))),
  })
  expect(second.loop.openCommands().map((one) => one.name)).toEqual(["run.wait"])
  expect(second.loop.armedTimers().length).toBe(1)
  yield* Effect.sleep(120)
  expect(signals).toEqual([["kill", "first"]])
  expect(done).toEqual(["start first"])
})))

test("a late answer to a cancelled command is dropped, and the next waits for it to end", () =>
  run(Effect.gen(function*() {
    const done: string[] = []
    const { loop, store } = yield* open({
      "layer.fetch": {
        kind: "long",
        run: () => Effect.onInterrupt(Effect.never, () =>
          Effect.andThen(Effect.sleep(30), Effect.sync(() => { done.push("closed") }))),
      },
      "layer.drop": short(() => Effect.sync(() => {
        done.push("drop")
        return { type: "dropped" }
      })),
    })
    const source = { kind: "archive" }
    loop.post("layer/sha256:1", { type: "want", source, from: "image/a" })
    loop.post("layer/sha256:1", { type: "unwant", from: "image/a" })
    loop.post("layer/sha256:1", { type: "want", source, from: "image/b" })
    yield* Effect.sleep(5)
    loop.post("layer/sha256:1", { type: "unwant", from: "image/b" })
    yield* loop.settled
    yield* loop.ask("layer/sha256:1", { type: "drop" }, (t) => t.done || undefined)
    expect(done).toEqual(["closed", "drop"])
    expect(store.layers.all()).toEqual([])
    expect(loop.living().size).toBe(0)
  })))
