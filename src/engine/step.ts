import { type AnyMachineSnapshot, transition } from "xstate"
import { type Address, asked, type Asked, type Command } from "../../machines/words.ts"
import type { CommandRow, Moment, TimerRow } from "../store/journal.ts"
import type { StoreBody } from "../store/store.ts"
import { RequestFault } from "./faults.ts"
import type { MachineEvent } from "./hand.ts"
import { definitionOf, freeze, type Living, newborn, Shadowed, wordOf } from "./living.ts"

/** What became of one event, told to whoever listens once it is durable. */
export interface Transition {
  readonly seq: number
  readonly address: Address
  readonly event: MachineEvent
  /** States as xstate values; `before` is undefined for a machine's first. */
  readonly before: unknown
  readonly snapshot: AnyMachineSnapshot
  /** What it asked for. */
  readonly commands: readonly Command[]
  /** It has ended: its row is gone. */
  readonly done: boolean
  readonly at: Moment
}

/** What a batch leaves to be done once it is durable. */
export interface Aftermath {
  readonly transitions: Transition[]
  readonly commands: CommandRow[]
  readonly cancelled: CommandRow[]
  readonly timers: TimerRow[]
}

interface Origin {
  /** The journal row whose command, timer or message brought this event. */
  readonly cause: number | null
  readonly from?: Address
}

const HOPS_MOST = 64
const ROWS_PER_BASE = 64

/** Cargo passes through to the store and stays out of the journal: it is in the rows already. */
const withoutCargo = (key: string, value: unknown) => (key === "row" ? undefined : value)
const written = (value: unknown): string => JSON.stringify(value, withoutCargo)

/**
 * The synchronous heart of the loop: one event to one machine and every message that it causes,
 * written down in the savepoint its caller opened. It changes memory only as it changes rows: if
 * the caller rolls back, `rollback` takes the memory back as well.
 */
export class Stepper {
  readonly living = new Shadowed<Address, Living>()
  readonly open = new Shadowed<number, CommandRow>()
  /** Armed timers by `<address> <id>`; a due one that is no longer here was cancelled. */
  readonly timers = new Shadowed<string, TimerRow>()
  readonly #store: StoreBody
  #aftermath: Aftermath = { transitions: [], commands: [], cancelled: [], timers: [] }

  constructor(store: StoreBody) {
    this.#store = store
  }

  mark(): readonly number[] {
    const { transitions, commands, cancelled, timers } = this.#aftermath
    return [
      this.living.mark(), this.open.mark(), this.timers.mark(),
      transitions.length, commands.length, cancelled.length, timers.length,
    ]
  }
  rollback(mark: readonly number[]): void {
    this.living.rollback(mark[0]!)
    this.open.rollback(mark[1]!)
    this.timers.rollback(mark[2]!)
    this.#aftermath.transitions.length = mark[3]!
    this.#aftermath.commands.length = mark[4]!
    this.#aftermath.cancelled.length = mark[5]!
    this.#aftermath.timers.length = mark[6]!
  }
  /** The batch is committed: what it leaves to be done. */
  settle(): Aftermath {
    const aftermath = this.#aftermath
    this.#aftermath = { transitions: [], commands: [], cancelled: [], timers: [] }
    this.living.settle()
    this.open.settle()
    this.timers.settle()
    return aftermath
  }

  /**
   * A client's wish: taken, or refused without a trace by throwing `RequestFault`. Answers its seq.
   */
  request(address: Address, event: MachineEvent, at: Moment): number {
    const definition = definitionOf(address)
    const living = this.living.get(address)
    if (living === undefined && !definition.creating.has(event.type)) {
      throw new RequestFault({ reason: "missing", address, state: "", about: address })
    }
    if (living !== undefined && living.quarantine !== null) {
      throw new RequestFault({
        reason: "quarantined",
        address,
        state: "",
        about: living.quarantine,
      })
    }
    const before = living?.snapshot ?? newborn(definition)
    if (!before.can(event)) {
      const state = wordOf(before.value)
      throw new RequestFault({ reason: "refused", address, state, about: event.type })
    }
    return this.#take(address, living, event, { cause: null }, at, 0)
  }

  /**
   * A hand's answer; `last` closes its command. One whose command is gone is dropped: too late. An
   * event for a machine in quarantine is dropped too, and its command stays open, to be carried out
   * again once that is lifted.
   */
  answer(command: number, event: MachineEvent | null, last: boolean, at: Moment): void {
    const row = this.open.get(command)
    if (row === undefined) return
    if (event !== null && this.isQuarantined(row.address)) return
    if (last) {
      this.#store.journal.close(command)
      this.open.delete(command)
    }
    if (event !== null) this.note(row.address, event, { cause: row.seq }, at, 0)
  }

  /** A timer that is due; one that was cancelled or set anew meanwhile is not there to fire. */
  due(timer: TimerRow, at: Moment): void {
    const key = `${timer.address} ${timer.id}`
    if (this.timers.get(key)?.seq !== timer.seq || this.isQuarantined(timer.address)) return
    this.#store.journal.unset(timer.address, timer.id)
    this.timers.delete(key)
    this.note(timer.address, { type: timer.event }, { cause: timer.seq }, at, 0)
  }

  /** Has it met a defect? Then it is fed no more, until that is lifted. */
  isQuarantined(address: Address): boolean {
    return (this.living.get(address)?.quarantine ?? null) !== null
  }

  /** An answer, a timer or a message: never refused, at worst written down as ignored. */
  note(address: Address, event: MachineEvent, origin: Origin, at: Moment, hops: number): void {
    if (hops > HOPS_MOST) throw new Error(`${address} is ${hops} messages away from what caused it`)
    const definition = definitionOf(address)
    const living = this.living.get(address)
    if (this.isQuarantined(address)) return
    const full = origin.from === undefined ? event : { ...event, from: origin.from }
    if (living === undefined && !definition.creating.has(event.type)) {
      this.#append(
        address,
        origin.cause,
        full,
        "undeliverable",
        { commands: [], timers: [] },
        null,
        at,
      )
    } else if (!(living?.snapshot ?? newborn(definition)).can(full)) {
      const value = { ignored: living?.snapshot.value ?? "absent" }
      this.#append(address, origin.cause, full, value, { commands: [], timers: [] }, null, at)
    } else this.#take(address, living, full, origin, at, hops)
  }

  #take(
    address: Address,
    living: Living | undefined,
    event: MachineEvent,
    origin: Origin,
    at: Moment,
    hops: number,
  ): number {
    const definition = definitionOf(address)
    const before = living?.snapshot ?? newborn(definition)
    const [after, actions] = transition(definition.machine, before, event) as [
      AnyMachineSnapshot,
      any,
    ]
    const wants = asked(actions)
    const whole = (living?.rows ?? ROWS_PER_BASE) >= ROWS_PER_BASE
    const frozen = freeze(definition, after)
    const seq = this.#append(
      address, origin.cause, event, after.value, wants, whole ? frozen : null, at,
    )
    const done = after.status === "done"
    if (done) {
      this.#store.journal.forget(address)
      this.living.delete(address)
    } else {
      this.#store.journal.keep(address, definition.version, seq, frozen)
      const rows = whole ? 1 : living!.rows + 1
      this.living.set(address, { snapshot: after, seq, rows, quarantine: null })
    }
    this.#aftermath.transitions.push({
      seq,
      address,
      event,
      before: living?.snapshot.value,
      snapshot: after,
      commands: wants.commands,
      done,
      at,
    })
    this.#setTimers(address, wants, seq, at, done)
    this.#carryDown(address, wants, seq, at, hops)
    return seq
  }

  #append(
    address: Address,
    cause: number | null,
    event: MachineEvent,
    value: unknown,
    wants: Asked,
    base: string | null,
    at: Moment,
  ): number {
    const asks = {
      ...(wants.commands.length > 0 && { commands: wants.commands }),
      ...(wants.timers.length > 0 && { timers: wants.timers }),
    }
    return this.#store.journal.append({
      address,
      cause,
      version: definitionOf(address).version,
      event: written(event),
      value: JSON.stringify(value),
      asked: written(asks),
      base,
    }, at)
  }

  #setTimers(address: Address, wants: Asked, seq: number, at: Moment, done: boolean): void {
    for (const timer of wants.timers) {
      const id = "set" in timer ? timer.set : timer.cancel
      const key = `${address} ${id}`
      if ("cancel" in timer) {
        if (this.timers.get(key) === undefined) continue
        this.#store.journal.unset(address, id)
        this.timers.delete(key)
      } else if (!done) {
        const row: TimerRow = {
          address,
          id,
          event: timer.event,
          seq,
          delay_ms: timer.delayMs,
          boot: at.boot,
          due_mono_ms: at.monoMs + timer.delayMs,
          due_wall_ms: at.wallMs + timer.delayMs,
        }
        this.#store.journal.set(row)
        this.timers.set(key, row)
        this.#aftermath.timers.push(row)
      }
    }
  }

  #carryDown(address: Address, wants: Asked, seq: number, at: Moment, hops: number): void {
    for (const { type, params } of wants.commands) {
      if (type.startsWith("store.")) this.#store.apply(address, type, params, at)
      else if (type === "loop.cancel") this.#cancel(address, params.command)
      else if (type === "tell.each") {
        for (const { to, event } of params.messages) {
          this.note(to, event, { cause: seq, from: address }, at, hops + 1)
        }
      } else {
        const json = params === undefined ? "null" : written(params)
        const id = this.#store.journal.open(address, type, json, seq, at.boot)
        const row = { id, address, name: type, params: json, seq, boot: at.boot }
        this.open.set(id, row)
        this.#aftermath.commands.push(row)
      }
    }
  }

  #cancel(address: Address, name: string): void {
    for (const row of [...this.open.entries()].map(([, one]) => one)) {
      if (row.address !== address || row.name !== name) continue
      this.#store.journal.close(row.id)
      this.open.delete(row.id)
      this.#aftermath.cancelled.push(row)
    }
  }
}
