import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Random from "effect/Random"
import * as Scheduler from "effect/Scheduler"
import { Bases, basesOf } from "../../src/engine/bases.ts"
import { bootEngine } from "../../src/engine/boot.ts"
import { Claims, claimsOf } from "../../src/engine/claims.ts"
import type { Hands, Order } from "../../src/engine/hand.ts"
import { Keyring } from "../../src/engine/keyring.ts"
import { Loop, LoopBody } from "../../src/engine/loop.ts"
import { Networks } from "../../src/engine/networks.ts"
import { Paths, pathsOf } from "../../src/engine/paths.ts"
import { Planner } from "../../src/engine/planner.ts"
import { ProgressBoard, ProgressBody } from "../../src/engine/progress.ts"
import { Registries, registriesOf } from "../../src/engine/registries.ts"
import { Watchers } from "../../src/engine/requests/pull.ts"
import { Ballast } from "../../src/kernel/ballast.ts"
import { Directories } from "../../src/kernel/directories.ts"
import { Runtime } from "../../src/kernel/runtime.ts"
import { Wal } from "../../src/kernel/wal.ts"
import { Carrier } from "../../src/layers/carrier.ts"
import { Store, StoreBody } from "../../src/store/store.ts"
import { simCarrier, type Weather } from "./carrier.ts"
import {
  type Broken, simBallast, SimDatabase, simDirectories, SimDirectories, simWal, Violation,
} from "./disk.ts"
import { simNetworks } from "./networks.ts"
import { bareRun } from "./plan.ts"
import { SimProcesses } from "./processes.ts"
import { smallRegistry, type SimRegistry } from "./registry-sim.ts"
import { simRuntime } from "./runtime.ts"
import { Life, type Time } from "./time.ts"

export type Services =
  | Bases
  | Store | Paths | Keyring | Watchers | ProgressBoard | Registries | Wal | Ballast | Directories
  | Carrier | Runtime | Planner | Networks | Loop

const PATHS = pathsOf("/data", "/exec")

/**
 * The loop, with an eye on each command it carries out: its row must be on the disk for certain.
 */
class WatchedLoop extends LoopBody {
  #check: (order: Order, name: string) => void = () => {}

  watch(check: (order: Order, name: string) => void): this {
    this.#check = check
    return this
  }
  override employ(hands: Hands): void {
    super.employ(Object.fromEntries(
      Object.entries(hands).map(([name, hand]) => [name, {
        ...hand,
        run: (order: Order) => {
          this.#check(order, name)
          return hand.run(order)
        },
      }]),
    ))
  }
}

/**
 * A device with its power switch: the real machines, loop, hands and SQL over a simulated disk,
 * registry, kernel and clock. `kill` is SIGKILL to the engine; `cut` takes the power from
 * everything.
 */
export class Device {
  readonly time: Time
  readonly database = new SimDatabase()
  readonly directories = new SimDirectories()
  readonly processes: SimProcesses
  readonly registry: SimRegistry
  /** Who has which address and port, as the engine that runs knows it. */
  claims = new Claims([])
  readonly weather: Weather = { flaky: 0, broken: 0, stubborn: 0, injected: 0 }
  readonly #broken: Broken
  #life = new Life()
  #boots = 0
  #context: Context.Context<Services> | undefined
  /** What went wrong where nobody could throw it to us. */
  violation: Error | undefined

  constructor(time: Time, broken: Broken) {
    this.time = time
    this.#broken = broken
    this.processes = new SimProcesses(time, this.directories)
    this.registry = smallRegistry(time)
  }

  /** Starts the engine; it is up once `services` answers. */
  start(): void {
    this.#life = new Life()
    this.#context = undefined
    const store = new StoreBody(this.database)
    if (this.#broken.noLease === true) store.layers.lease = () => {}
    const { boot, reboot } = this.#noted(store)
    this.claims = claimsOf(store, this.processes.connected())
    const up = Effect.gen({ self: this }, function*() {
      const context = yield* Layer.build(this.#world(store, boot))
      yield* Effect.provide(bootEngine(reboot), context)
      this.#context = context
      yield* Effect.never
    })
    this.#fork(Effect.scoped(up), this.#life)
  }

  #noted(store: StoreBody): { boot: number; reboot: boolean } {
    const noted = store.journal.boot(`boot ${this.#boots}`)
    this.database.sync()
    return noted
  }

  kill(): void {
    this.#life.alive = false
    this.#context = undefined
  }
  cut(): void {
    this.kill()
    this.#boots++
    this.database.cut(this.time)
    this.directories.cut(this.time)
    this.processes.cut()
  }

  get isUp(): boolean {
    return this.#context !== undefined
  }
  get loop(): LoopBody {
    return Context.get(this.#context!, Loop)
  }
  get store(): StoreBody {
    return Context.get(this.#context!, Store)
  }

  /** A client's request to the engine as it runs now: it ends with the engine, unanswered. */
  ask<A, E>(
    request: Effect.Effect<A, E, Services>,
    answered: (answer: A | undefined) => void,
  ): void {
    const asking = Effect.matchCause(request, {
      onSuccess: answered,
      onFailure: () => answered(undefined),
    })
    this.#fork(Effect.provideContext(asking, this.#context!), this.#life)
  }

  #fork(effect: Effect.Effect<unknown>, life: Life): void {
    const context = Context.make(Scheduler.Scheduler, this.time.scheduler(life)).pipe(
      Context.add(Clock.Clock, this.time.clock(life)),
    )
    const seeded = effect.pipe(
      Random.withSeed(this.time.between(0, 2 ** 31)),
      Effect.provide(Logger.layer([])),
      Effect.tapCause((cause) => Effect.sync(() => this.#fail(cause))),
    )
    Effect.runForkWith(context)(seeded as Effect.Effect<unknown>)
  }

  #fail(cause: unknown): void {
    this.violation ??= cause instanceof Error ? cause : new Violation(String(cause))
  }

  #world(store: StoreBody, boot: number): Layer.Layer<Services> {
    const { time, directories, processes, weather, registry } = this
    const broken = this.#broken
    const carrier = simCarrier({
      time,
      life: this.#life,
      directories,
      registry,
      weather,
      broken,
      fail: (violation) => this.#fail(violation),
    })
    const doors = Layer.mergeAll(
      Layer.succeed(Store, store),
      Layer.succeed(Paths, PATHS),
      Layer.succeed(Bases, basesOf(store, "")),
      Layer.sync(Keyring, () => new Map()),
      Layer.sync(Watchers, () => new Map()),
      Layer.sync(ProgressBoard, () => new ProgressBody()),
      Layer.succeed(
        Registries,
        registriesOf(() => ({ insecureRegistries: [], registryMirrors: [] })),
      ),
      Layer.succeed(Wal, simWal(this.database, time, this.#broken)),
      Layer.succeed(Ballast, simBallast(this.database)),
      Layer.succeed(Directories, simDirectories(directories)),
      Layer.effect(Carrier, Effect.map(carrier, ({ service }) => service)),
      Layer.succeed(Runtime, simRuntime({ time, life: this.#life, processes, weather })),
      Layer.succeed(Networks, simNetworks(this.claims)),
      Layer.succeed(Planner, {
        plan: ({ id }, endpoint) => bareRun(id, PATHS.container(id), endpoint),
      }),
    )
    return Layer.provideMerge(Layer.effect(Loop, this.#loop(boot)), doors)
  }

  #loop(boot: number) {
    return Effect.gen({ self: this }, function*() {
      const loop = new WatchedLoop({
        store: yield* Store,
        wal: yield* Wal,
        ballast: yield* Ballast,
        clock: yield* Clock.Clock,
        context: yield* Effect.context<never>(),
        boot,
        fatal: (cause) => this.#fail(cause),
      })
      return loop.watch((order, name) => {
        if (order.id <= this.database.certainCommand) return
        this.#fail(
          new Violation(`${name} of ${order.address} was carried out before it was durable`),
        )
      })
    })
  }
}
