import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { AnyMachineSnapshot } from "xstate"
import type { Address } from "../../machines/words.ts"
import { Ballast } from "../kernel/ballast.ts"
import { Wal } from "../kernel/wal.ts"
import { isDiskFault, isNoRoom } from "../store/database.ts"
import type { CommandRow, Moment, TimerRow } from "../store/journal.ts"
import { Refusal } from "../store/refusal.ts"
import { Store, type StoreBody } from "../store/store.ts"
import { Alarm } from "./alarm.ts"
import { Dispatcher } from "./dispatch.ts"
import { noRoomFor, RequestFault } from "./faults.ts"
import type { Hands, MachineEvent } from "./hand.ts"
import { keepHouse } from "./house.ts"
import type { Living } from "./living.ts"
import type { Input, Receipt } from "./queue.ts"
import { type Aftermath, Stepper, type Transition } from "./step.ts"

export type Listener = (transition: Transition) => void

interface Batch extends Aftermath {
  /** Answers owed to callers, given once the batch is durable. */
  readonly owed: (() => void)[]
}

/** A disk that takes no more rows is tried again after this long. */
const NO_ROOM_RETRY_MS = 1_000

/**
 * The loop: takes inputs in order, each in a savepoint of its own, commits what has gathered, has
 * it made durable off the thread, and only then answers, publishes and carries out. So a crash at
 * any instant leaves a prefix of what was asked, and every command that is open in it is done
 * again.
 */
export class LoopBody {
  readonly #store: StoreBody
  readonly #wal: Wal["Service"]
  readonly #ballast: Ballast["Service"]
  readonly #clock: Clock.Clock
  readonly #run: (effect: Effect.Effect<unknown>) => unknown
  readonly #fatal: (cause: unknown) => void
  readonly #stepper: Stepper
  readonly #dispatcher: Dispatcher
  readonly #alarm: Alarm
  readonly #listeners = new Set<Listener>()
  readonly boot: number
  #queue: Input[] = []
  #scheduled = false
  #syncing = false
  #awaiting: Batch[] = []
  #idle: (() => void)[] = []
  /** The disk takes no more rows: what nobody may refuse waits at the head of the queue. */
  #isStarved = false
  #closed = false

  constructor(needs: {
    readonly store: StoreBody
    readonly wal: Wal["Service"]
    readonly ballast: Ballast["Service"]
    readonly context: Context.Context<never>
    readonly clock: Clock.Clock
    readonly boot: number
    readonly fatal: (cause: unknown) => void
  }) {
    this.#store = needs.store
    this.#wal = needs.wal
    this.#ballast = needs.ballast
    this.#clock = needs.clock
    this.#run = Effect.runForkWith(needs.context)
    this.#fatal = needs.fatal
    this.boot = needs.boot
    this.#stepper = new Stepper(needs.store)
    this.#alarm = new Alarm(this.#run, () => this.now().monoMs, () => this.#ring())
    this.#dispatcher = new Dispatcher(needs.context, (command, event, last) =>
      this.#enqueue({ kind: "answer", command, event, last }))
  }

  /** Gives the loop its hands; before `recover`. */
  employ(hands: Hands): void {
    this.#dispatcher.hands = hands
  }

  /**
   * A client's wish. Fails at once and without a trace where it is refused; else waits until it is
   * durable, and then for the first transition of that machine, from this one on, for which `until`
   * gives an outcome. Transitions, not states: a start whose process exits at once was a start.
   */
  ask<A>(
    address: Address,
    event: MachineEvent,
    until: (transition: Transition) => A | undefined,
  ): Effect.Effect<A, RequestFault> {
    return Effect.callback<A, RequestFault>((resume) => {
      let since = Infinity
      const stop = this.listen((transition) => {
        if (transition.address !== address || transition.seq < since) return
        const outcome = until(transition)
        if (outcome === undefined) return
        stop()
        resume(Effect.succeed(outcome))
      })
      const receipt = (given: Receipt) => {
        if ("seq" in given) since = given.seq
        else {
          stop()
          resume(Effect.fail(given.fault))
        }
      }
      this.#enqueue({ kind: "request", address, event, receipt })
      return Effect.sync(stop)
    })
  }

  /** An event that nobody may refuse and nobody waits for. */
  post(address: Address, event: MachineEvent): void {
    this.#enqueue({ kind: "note", address, event })
  }

  /** Changes rows that no machine decides on (a checkpoint); returns once that is durable. */
  write(body: () => void): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      this.#enqueue({ kind: "write", body, done: () => resume(Effect.void) })
    })
  }

  /** Hears every transition once it is durable, in order. Answers how to stop. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  snapshot(address: Address): AnyMachineSnapshot | undefined {
    return this.#stepper.living.get(address)?.snapshot
  }
  living(): ReadonlyMap<Address, Living> {
    return new Map(this.#stepper.living.entries())
  }
  openCommands(): CommandRow[] {
    return [...this.#stepper.open.entries()].map(([, row]) => row)
  }
  armedTimers(): TimerRow[] {
    return [...this.#stepper.timers.entries()].map(([, row]) => row)
  }
  now(): Moment {
    return {
      boot: this.boot,
      monoMs: Number(this.#clock.monotonicTimeNanosUnsafe() / 1_000_000n),
      wallMs: this.#clock.currentTimeMillisUnsafe(),
    }
  }

  /** Puts a revived machine, open command or timer back, as recovery found it. */
  readonly restore = {
    machine: (address: Address, living: Living) => this.#stepper.living.set(address, living),
    command: (row: CommandRow) => this.#stepper.open.set(row.id, row),
    timer: (row: TimerRow) => this.#stepper.timers.set(`${row.address} ${row.id}`, row),
  }

  /** Carries out again what was open, and sets the clock: the end of recovery. */
  resume(): void {
    this.#stepper.settle()
    for (const row of this.openCommands()) {
      this.#dispatcher.again(row, row.boot === this.boot ? "after-crash" : "after-reboot")
    }
    this.#setAlarm()
  }

  /** Returns when all that was asked so far is durable, or waits for room on the disk. */
  readonly settled: Effect.Effect<void> = Effect.callback<void>((resume) => {
    if (this.#isIdle()) resume(Effect.void)
    else this.#idle.push(() => resume(Effect.void))
  })

  /** Interrupts every hand that may be; its command stays open for the next boot. Takes no more. */
  readonly stop: Effect.Effect<void> = Effect.suspend(() => this.#dispatcher.stop).pipe(
    Effect.andThen(Effect.suspend(() => this.settled)),
    Effect.andThen(Effect.sync(() => {
      this.#closed = true
    })),
  )

  #isIdle(): boolean {
    const isSaid = this.#queue.length === 0 || this.#isStarved
    return isSaid && !this.#syncing && this.#awaiting.length === 0
  }

  #enqueue(input: Input): void {
    if (this.#closed) return
    this.#queue.push(input)
    this.#schedule(Effect.yieldNow)
  }

  #schedule(after: Effect.Effect<void>): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#run(Effect.andThen(after, Effect.sync(() => this.#turn())))
  }

  /** One transaction over all that has gathered. */
  #turn(): void {
    this.#scheduled = false
    if (this.#closed) return // it had waited for room; its command is open in the journal
    this.#isStarved = false
    const inputs = this.#queue
    this.#queue = []
    const owed: (() => void)[] = []
    const mark = this.#stepper.mark()
    try {
      this.#store.db.begin()
      for (const input of inputs) this.#one(input, owed)
      this.#store.db.commit()
    } catch (error) {
      this.#store.db.rollback()
      this.#stepper.rollback(mark)
      if (!isNoRoom(error)) return this.#fatal(error)
      return this.#starve(inputs, error)
    }
    this.#awaiting.push({ ...this.#stepper.settle(), owed })
    this.#pump()
  }

  /** One input in its savepoint: a defect in it takes back its own changes and no other's. */
  #one(input: Input, owed: (() => void)[]): void {
    const mark = this.#stepper.mark()
    const at = this.now()
    try {
      this.#store.db.savepoint(() => {
        if (input.kind === "request") {
          const seq = this.#stepper.request(input.address, input.event, at)
          owed.push(() => input.receipt({ seq }))
        } else if (input.kind === "answer") {
          this.#stepper.answer(input.command, input.event, input.last, at)
        } else if (input.kind === "note") {
          this.#stepper.note(input.address, input.event, { cause: null }, at, 0)
        } else if (input.kind === "due") this.#stepper.due(input.timer, at)
        else {
          input.body()
          owed.push(input.done)
        }
      })
    } catch (error) {
      if (isDiskFault(error)) throw error // no machine's fault: the whole batch is undone
      this.#stepper.rollback(mark)
      this.#refuse(input, error, owed)
    }
  }

  #refuse(input: Input, error: unknown, owed: (() => void)[]): void {
    const address = this.#addressOf(input)
    if (input.kind === "request" && error instanceof RequestFault) {
      owed.push(() => input.receipt({ fault: error }))
    } else if (input.kind === "request" && error instanceof Refusal) {
      const state = ""
      const fault = new RequestFault({ reason: error.reason, address, state, about: error.about })
      owed.push(() => input.receipt({ fault }))
    } else if (input.kind === "note" && error instanceof Refusal) {
      return // the sweep's wish, and the store knew better
    } else {
      const why = error instanceof Error ? error.stack ?? error.message : String(error)
      if (input.kind === "write") { // no machine's doing, so no machine's quarantine
        this.#run(Effect.logError(`rows could not be changed: ${why}`))
        owed.push(input.done)
        return
      }
      this.#quarantine(address, why)
      if (input.kind !== "request") return
      const fault = new RequestFault({ reason: "quarantined", address, state: "", about: why })
      owed.push(() => input.receipt({ fault }))
    }
  }

  #addressOf(input: Input): Address {
    if (input.kind === "answer") return this.#stepper.open.get(input.command)?.address ?? "engine"
    return input.kind === "due"
      ? input.timer.address
      : input.kind === "write"
      ? "engine"
      : input.address
  }

  /** A machine that met a defect is fed no more, until a person or a new version looks at it. */
  #quarantine(address: Address, why: string): void {
    this.#run(Effect.logError(`${address} is quarantined: ${why}`))
    const living = this.#stepper.living.get(address)
    if (living === undefined) return
    this.#store.journal.quarantine(address, why)
    this.#stepper.living.set(address, { ...living, quarantine: why })
  }

  /** Lifts a quarantine; what was open is carried out again. */
  retry(address: Address): Effect.Effect<void> {
    let lifted = false
    return this.write(() => {
      const living = this.#stepper.living.get(address)
      if (living === undefined || living.quarantine === null) return
      this.#store.journal.quarantine(address, null)
      this.#stepper.living.set(address, { ...living, quarantine: null })
      lifted = true
    }).pipe(Effect.andThen(Effect.sync(() => {
      if (!lifted) return
      for (const row of this.openCommands()) {
        const isIdle = row.address === address && !this.#dispatcher.isAtWork(row)
        if (isIdle) this.#dispatcher.again(row, "after-crash")
      }
      this.#setAlarm()
    })))
  }

  /**
   * No room for rows. The ballast goes first, though never for a farewell: the next start may need
   * it. Without it requests get the error, and all else waits in its order and is tried again.
   */
  #starve(inputs: Input[], error: unknown): void {
    const isLast = inputs.every((one) => one.kind === "request" && one.event.type === "drain")
    if (!isLast && this.#ballast.give()) {
      this.#run(Effect.logWarning("the disk of the data root is full: its ballast is given up"))
      this.#queue.unshift(...inputs)
      return this.#schedule(Effect.yieldNow)
    }
    for (const input of inputs) {
      if (input.kind === "request") input.receipt({ fault: noRoomFor(input.address, error) })
    }
    this.#queue.unshift(...inputs.filter(({ kind }) => kind !== "request"))
    this.#isStarved = this.#queue.length > 0
    if (this.#isStarved) this.#schedule(Effect.sleep(NO_ROOM_RETRY_MS))
    this.#pump()
  }

  /** One fdatasync in flight; all batches that fall meanwhile share the next. */
  #pump(): void {
    if (this.#syncing) return
    if (this.#awaiting.length === 0) return this.#rest()
    this.#syncing = true
    const batches = this.#awaiting
    this.#awaiting = []
    const after = Effect.sync(() => {
      for (const batch of batches) this.#settle(batch)
      this.#syncing = false // not sooner: who is answered may ask whether there is rest
      this.#pump()
    })
    this.#run(Effect.andThen(this.#wal.sync, after).pipe(
      Effect.tapCause((cause) => Effect.sync(() => this.#fatal(cause))),
    ))
  }

  #settle(batch: Batch): void {
    for (const answer of batch.owed) answer()
    for (const transition of batch.transitions) {
      for (const listener of [...this.#listeners]) listener(transition)
    }
    for (const row of batch.cancelled) this.#dispatcher.cancel(row)
    for (const row of batch.commands) {
      if (this.#stepper.open.get(row.id) !== undefined) this.#dispatcher.first(row)
    }
    this.#setAlarm()
  }

  /** Nothing to do: the house is kept, and whoever waits for that is told. */
  #rest(): void {
    if (!this.#isIdle()) return
    if (!this.#isStarved) keepHouse(this.#store, this.#wal, this.#ballast)
    // Last: who is told may be the one that closes the log.
    for (const tell of this.#idle.splice(0)) tell()
  }

  /** After each batch; a timer that rings twice finds itself gone the second time. */
  #setAlarm(): void {
    this.#alarm.set(Math.min(...this.#feedableTimers().map((row) => row.due_mono_ms)))
  }

  #ring(): void {
    const { monoMs } = this.now()
    for (const timer of this.#feedableTimers()) {
      if (timer.due_mono_ms <= monoMs) this.#enqueue({ kind: "due", timer })
    }
  }

  /** A machine in quarantine keeps its timers, and they do not ring. */
  #feedableTimers(): TimerRow[] {
    return this.armedTimers().filter(({ address }) => !this.#stepper.isQuarantined(address))
  }
}

/** The loop as a service; composed in `daemon.ts`, and in the simulator with other doors. */
export class Loop extends Context.Service<Loop, LoopBody>()("engine/Loop") {}

/** Makes a loop over the store and the log of this context. */
export const makeLoop = (boot: number, fatal: (cause: unknown) => void) =>
  Effect.gen(function*() {
    const store = yield* Store
    const wal = yield* Wal
    const ballast = yield* Ballast
    const clock = yield* Clock.Clock
    const context = yield* Effect.context<never>()
    return new LoopBody({ store, wal, ballast, context, clock, boot, fatal })
  })
