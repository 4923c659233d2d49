import { type AnyMachineSnapshot, createActor, initialTransition } from "xstate"
import { CATALOG, type Definition } from "../../machines/catalog.ts"
import { type Address, nounOf } from "../../machines/words.ts"
import type { MachineRow } from "../store/journal.ts"

/** A machine in memory. */
export interface Living {
  readonly snapshot: AnyMachineSnapshot
  readonly seq: number
  /** Journal rows since its last whole snapshot. */
  readonly rows: number
  readonly quarantine: string | null
}

/** A map whose changes can be taken back to a mark: memory changes only as the rows do. */
export class Shadowed<K, V> {
  readonly #map = new Map<K, V>()
  #undo: [key: K, before: V | undefined][] = []

  get(key: K): V | undefined {
    return this.#map.get(key)
  }
  entries(): IterableIterator<[K, V]> {
    return this.#map.entries()
  }
  get size(): number {
    return this.#map.size
  }
  set(key: K, value: V): void {
    this.#undo.push([key, this.#map.get(key)])
    this.#map.set(key, value)
  }
  delete(key: K): void {
    const before = this.#map.get(key)
    if (before === undefined) return
    this.#undo.push([key, before])
    this.#map.delete(key)
  }
  mark(): number {
    return this.#undo.length
  }
  rollback(mark: number): void {
    while (this.#undo.length > mark) {
      const [key, before] = this.#undo.pop()!
      if (before === undefined) this.#map.delete(key)
      else this.#map.set(key, before)
    }
  }
  settle(): void {
    this.#undo = []
  }
}

export const definitionOf = (address: Address): Definition => CATALOG[nounOf(address)]

const newborns = new Map<Definition, AnyMachineSnapshot>()

/** A machine that has not been asked anything yet: one snapshot serves all, as none is changed. */
export const newborn = (definition: Definition): AnyMachineSnapshot => {
  const known = newborns.get(definition)
  if (known !== undefined) return known
  const made = initialTransition(definition.machine)[0] as AnyMachineSnapshot
  newborns.set(definition, made)
  return made
}

/** A snapshot as JSON, whole. */
export const freeze = (definition: Definition, snapshot: AnyMachineSnapshot): string =>
  JSON.stringify(definition.machine.getPersistedSnapshot(snapshot))

/**
 * Brings a written snapshot back to life, through the migrations since its version. Answers
 * undefined for one that no longer fits (newer, unreadable, a state that is gone): it must be
 * reborn.
 */
export const thaw = (
  definition: Definition,
  row: Pick<MachineRow, "snapshot" | "version">,
): AnyMachineSnapshot | undefined => {
  if (row.version > definition.version) return undefined
  try {
    let json = JSON.parse(row.snapshot)
    for (let version = row.version; version < definition.version; version++) {
      json = definition.migrations[version]?.(json) ?? json
    }
    const snapshot = createActor(definition.machine, { snapshot: json }).getSnapshot()
    return snapshot.status === "active" ? snapshot as AnyMachineSnapshot : undefined
  } catch {
    return undefined // xstate throws on a snapshot whose states are gone
  }
}

/** A state in one word a person reads: `running.paused`; parallel parts joined by a comma. */
export const wordOf = (value: unknown): string =>
  typeof value === "string"
    ? value
    : Object.entries(value as object)
      .map(([state, inner]) => {
        const word = wordOf(inner)
        return word === "" ? state : `${state}.${word}`
      })
      .join(",")
