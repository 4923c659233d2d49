import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { expect, test } from "vitest"
import { CATALOG } from "../../machines/catalog.ts"
import { type Address, nounOf } from "../../machines/words.ts"
import type { Hands } from "../../src/engine/hand.ts"
import { LoopBody } from "../../src/engine/loop.ts"
import { recover } from "../../src/engine/recovery.ts"
import { Database } from "../../src/store/database.ts"
import { StoreBody } from "../../src/store/store.ts"

const IMAGE = `sha256:${"a".repeat(64)}`
const LAYER: Address = `layer/sha256:${"b".repeat(64)}`
const PUSH: Address = "push/1-docker.io/library/app:latest"
const PULL: Address = "image/docker.io/library/app:latest"
const CONTAINER: Address = "container/c"

/** A database as an engine left it whose machines this one cannot read: `fill` makes its rows. */
const wake = (addresses: readonly Address[], hands: Hands, fill: (store: StoreBody) => void) =>
  Effect.gen(function*() {
    const store = new StoreBody(new Database(":memory:"))
    fill(store)
    for (const address of addresses) {
      const { version } = CATALOG[nounOf(address)]
      store.journal.keep(address, version + 1, 1, "from tomorrow")
      store.journal.open(address, "run.tomorrow", "null", 1, 1)
    }
    const asked: string[] = []
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
    loop.employ(Object.fromEntries(
      ["run.wait", "run.clean", "run.delete", "layer.sweep"].map((name) => [name, {
        kind: "long" as const,
        run: () => {
          asked.push(name)
          return hands[name]?.run({} as never) ?? Effect.never
        },
      }]),
    ))
    yield* recover(loop, store)
    loop.resume()
    yield* loop.settled
    const stateOf = (address: Address) => loop.snapshot(address)?.value
    return { store, loop, asked, stateOf }
  })

const terms = { restart: { policy: "always", retries: 0 }, autoRemove: false }
const addContainer = (store: StoreBody, pid: number) => {
  store.db.run("INSERT INTO image VALUES (?, x'', NULL, '', 0, 0)", IMAGE)
  store.containers.create({
    id: "c", name: "c", image: IMAGE, imageName: "i", createdMs: 1, terms, given: {}, layers: [],
  })
  store.containers.change("c", { pid })
}
const run = <A>(effect: Effect.Effect<A>) => Effect.runPromise(effect)

test("a container that ran is looked for, under the policy that its row knows", () =>
  run(Effect.gen(function*() {
    const { stateOf, asked, loop } = yield* wake([CONTAINER], {}, (store) => addContainer(store, 7))
    expect(stateOf(CONTAINER)).toEqual({ running: "up" })
    expect(loop.snapshot(CONTAINER)?.context).toMatchObject({ restart: "always" })
    expect(asked).toEqual(["run.wait"])
    expect(loop.openCommands().map(({ name }) => name)).toEqual(["run.wait"])
  })))

test("one that did not run is cleaned up, and can be started or removed", () =>
  run(Effect.gen(function*() {
    const hands: Hands = {
      "run.clean": { kind: "short", run: () => Effect.succeed({ type: "cleaned" }) },
    }
    const { stateOf, loop } = yield* wake([CONTAINER], hands, (store) => addContainer(store, 0))
    expect(stateOf(CONTAINER)).toBe("exited")
    expect(loop.snapshot(CONTAINER)?.can({ type: "remove", force: false })).toBe(true)
  })))

test("one without a row is taken away", () =>
  run(Effect.gen(function*() {
    const { asked } = yield* wake([CONTAINER], {}, () => {})
    expect(asked).toEqual(["run.clean"])
  })))

test("a layer is what its row says; an image that waits for a whole one gets it", () =>
  run(Effect.gen(function*() {
    const { stateOf, store } = yield* wake([LAYER], {}, (store) => {
      store.layers.stage(LAYER)
      store.layers.ready(LAYER, 1, 1)
      store.layers.lease(LAYER, PULL)
    })
    expect(stateOf(LAYER)).toBe("ready")
    const told = store.journal.history(PULL, 9).map(({ event }) => JSON.parse(event).type)
    expect(told).toEqual(["layerReady"])
  })))

test("of a layer that was being fetched nothing is known: whoever waits hears that", () =>
  run(Effect.gen(function*() {
    const { stateOf, store } = yield* wake([LAYER], {}, (store) => {
      store.layers.stage(LAYER)
      store.layers.lease(LAYER, PULL)
    })
    expect(stateOf(LAYER)).toBe("parked")
    const [told] = store.journal.history(PULL, 9).map(({ event }) => JSON.parse(event))
    expect(told).toMatchObject({ type: "layerFailed", reason: "lost", from: LAYER })
  })))

test("a pull is given up, and its leases with it", () =>
  run(Effect.gen(function*() {
    const { stateOf, store } = yield* wake([PULL], {}, (store) => {
      store.layers.stage(LAYER)
      store.layers.lease(LAYER, PULL)
    })
    expect(stateOf(PULL)).toBeUndefined()
    expect(store.layers.leases()).toEqual([])
    expect(store.journal.machines()).toEqual([])
  })))

test("a push is given up, and its leases with it", () =>
  run(Effect.gen(function*() {
    const { stateOf, store } = yield* wake([PUSH], {}, (store) => {
      store.layers.stage(LAYER)
      store.layers.lease(LAYER, PUSH)
    })
    expect(stateOf(PUSH)).toBeUndefined()
    expect(store.layers.leases()).toEqual([])
    expect(store.journal.machines()).toEqual([])
  })))
