import { type AnyMachineSnapshot, transition } from "xstate"
import { draw, type Format } from "../../../machines/draw.ts"
import { type Address, NOUNS, nounOf } from "../../../machines/words.ts"
import type { JournalRow, MachineRow } from "../../store/journal.ts"
import { Store, type StoreBody } from "../../store/store.ts"
import { definitionOf, thaw, wordOf } from "../living.ts"

/** One machine, as the rows say where it stands. The same on a stopped engine's database. */
export interface MachineLine {
  readonly address: Address
  readonly state: string
  readonly version: number
  readonly seq: number
  /** What brought it there, and when by the wall clock; null: its journal is pruned. */
  readonly event: string | null
  readonly sinceMs: number | null
  /** Open commands: what it waits for. */
  readonly waits: readonly {
    readonly id: number
    readonly command: string
    readonly params: unknown
  }[]
  readonly timers: readonly {
    readonly id: string
    readonly delayMs: number
    readonly dueWallMs: number
  }[]
  readonly quarantine: string | null
}

/** One line of a history: what came, why, where it led, what was asked for. */
export interface HistoryLine {
  readonly seq: number
  readonly wallMs: number
  readonly boot: number
  readonly event: Readonly<Record<string, unknown>>
  readonly cause: { readonly seq: number; readonly address: Address; readonly event: string } | null
  readonly state: string
  readonly asked: readonly string[]
}

const typeOf = (row: JournalRow): string => JSON.parse(row.event).type

const stateOf = (value: unknown): string => {
  const ignored = (value as { ignored?: unknown } | null)?.ignored
  return ignored === undefined ? wordOf(value) : `${wordOf(ignored)} (ignored)`
}

const lineOf = (store: StoreBody, row: MachineRow): MachineLine => {
  const { address, version, seq, quarantine } = row
  const last = store.journal.history(address, 1).at(-1)
  return {
    address,
    state: wordOf(JSON.parse(row.snapshot).value),
    version,
    seq,
    event: last === undefined ? null : typeOf(last),
    sinceMs: last?.wall_ms ?? null,
    waits: store.journal.commands().filter((one) => one.address === address)
      .map(({ id, name, params }) => ({ id, command: name, params: JSON.parse(params) })),
    timers: store.journal.timers().filter((one) => one.address === address)
      .map(({ id, delay_ms, due_wall_ms }) => ({ id, delayMs: delay_ms, dueWallMs: due_wall_ms })),
    quarantine,
  }
}

/** Every machine that is not at its end. */
export const listMachines = (store: StoreBody): readonly MachineLine[] =>
  store.journal.machines().map((row) => lineOf(store, row))

export const findMachine = (store: StoreBody, address: Address): MachineLine | undefined => {
  const row = store.journal.machines().find((one) => one.address === address)
  return row && lineOf(store, row)
}

/**
 * The machine a person means: an address of which something has been heard, or the beginning of
 * just one that lives, as digests and ids are cut short elsewhere (`layer/a0040e`). Null: none.
 */
export const meant = (store: StoreBody, words: string): Address | null => {
  if (!NOUNS.includes(nounOf(words))) return null
  if (store.journal.history(words, 1).length > 0) return words
  const begun = store.journal.machines().map(({ address }) => address)
    .filter((it) => it.startsWith(words) || it.replace("/sha256:", "/").startsWith(words))
  return begun.length === 1 ? begun[0]! : null
}

/** The kept past of a machine, oldest first, up to and including the row `at`. */
export const historyOf = (
  store: StoreBody,
  address: Address,
  at?: number,
): readonly HistoryLine[] =>
  store.journal.history(address, 256, at).map((row) => ({
    seq: row.seq,
    wallMs: row.wall_ms,
    boot: row.boot,
    event: JSON.parse(row.event),
    cause: causeOf(store, row.cause),
    state: stateOf(JSON.parse(row.value)),
    asked: askedOf(row.asked),
  }))

const causeOf = (store: StoreBody, seq: number | null): HistoryLine["cause"] => {
  const row = seq === null ? undefined : store.journal.history(null, 1, seq).at(-1)
  return row?.seq === seq ? { seq, address: row.address, event: typeOf(row) } : null
}

const askedOf = (json: string): readonly string[] => {
  const { commands = [], timers = [] } = JSON.parse(json) as {
    commands?: { type: string }[]
    timers?: ({ set: string; delayMs: number } | { cancel: string })[]
  }
  return [
    ...commands.map(({ type }) => type),
    ...timers.map((one) => "set" in one ? `+${one.set} ${one.delayMs} ms` : `-${one.cancel}`),
  ]
}

/**
 * A machine as it was after the journal row `at`: its events since the last whole snapshot are
 * folded again. Within one version of the machine; null where too little is kept.
 */
export const refold = (
  store: StoreBody,
  address: Address,
  at: number,
): AnyMachineSnapshot | null => {
  const rows = store.journal.history(address, 256, at)
  const start = rows.findLastIndex((row) => row.base !== null)
  const first = rows[start]
  const definition = definitionOf(address)
  if (first === undefined || first.version !== definition.version) return null
  let snapshot = thaw(definition, { snapshot: first.base!, version: first.version }) ??
    (JSON.parse(first.base!) as AnyMachineSnapshot)
  for (const row of rows.slice(start + 1)) {
    const value = JSON.parse(row.value)
    if (value === "undeliverable" || value?.ignored !== undefined) continue
    const [after] = transition(definition.machine, snapshot, JSON.parse(row.event))
    snapshot = after as AnyMachineSnapshot
  }
  return snapshot
}

/** A machine drawn, with the states it is in (or was in after row `at`) marked. */
export const drawMachine = (
  store: StoreBody,
  address: Address,
  format: Format,
  at?: number,
): string => {
  const definition = definitionOf(address)
  const row = store.journal.machines().find((one) => one.address === address)
  const past = at === undefined ? null : refold(store, address, at)
  const value = past?.value ?? (row === undefined ? null : JSON.parse(row.snapshot).value)
  return draw(definition.machine, value, format)
}

/** The store, for those who only look at machines. */
export { Store as StoreView }
