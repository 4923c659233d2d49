import type { Address } from "../../machines/words.ts"
import type { Database } from "./database.ts"
import { Refusal } from "./refusal.ts"

/** What changes in a container's life. Times are wall-clock milliseconds; 0: never. */
export interface ContainerState {
  readonly pid: number
  readonly startTicks: number
  readonly startedMs: number
  /** CLOCK_MONOTONIC at the start: how long it ran, whatever became of the wall clock. */
  readonly startedMonoMs: number
  readonly finishedMs: number
  readonly exitCode: number
  /** Why it could not be started; empty: it could. */
  readonly error: string
  readonly oomKilled: boolean
  readonly restarts: number
  /** What its start was given on a network; null: nothing, or not running. */
  readonly network: unknown
}

/** A container as it was agreed with its client. `terms` and `given` are the callers' own JSON. */
export interface ContainerRow {
  readonly id: string
  readonly name: string
  readonly image: string
  readonly imageName: string
  readonly createdMs: number
  readonly terms: unknown
  readonly given: unknown
  /** Addresses of the layers it stands on, lowest first. */
  readonly layers: readonly Address[]
  readonly state: ContainerState
}

const FRESH: ContainerState = {
  pid: 0,
  startTicks: 0,
  startedMs: 0,
  startedMonoMs: 0,
  finishedMs: 0,
  exitCode: 0,
  error: "",
  oomKilled: false,
  restarts: 0,
  network: null,
}

interface Raw {
  readonly id: string
  readonly name: string
  readonly image: string
  readonly image_name: string
  readonly created_ms: number
  readonly terms: string
  readonly given: string
  readonly layers: string
  readonly state: string
}

const read = (raw: Raw): ContainerRow => ({
  id: raw.id,
  name: raw.name,
  image: raw.image,
  imageName: raw.image_name,
  createdMs: raw.created_ms,
  terms: JSON.parse(raw.terms),
  given: JSON.parse(raw.given),
  layers: JSON.parse(raw.layers),
  state: JSON.parse(raw.state),
})

/** Containers that a client can see. One that is leaving has no row any more, only its machine. */
export class Containers {
  readonly #db: Database
  constructor(db: Database) {
    this.#db = db
  }

  get(id: string): ContainerRow | undefined {
    const raw = this.#db.get<Raw>("SELECT * FROM container WHERE id = ?", id)
    return raw && read(raw)
  }
  all(): ContainerRow[] {
    return this.#db.all<Raw>("SELECT * FROM container ORDER BY created_ms DESC, id").map(read)
  }
  byName(name: string): string | undefined {
    return this.#db.get<{ id: string }>("SELECT id FROM container WHERE name = ?", name)?.id
  }
  /** Ids that begin with this prefix, at most two: enough to see ambiguity. */
  byPrefix(prefix: string): string[] {
    return this.#db.all<{ id: string }>(
      "SELECT id FROM container WHERE id >= ? AND id < ? LIMIT 2", prefix, `${prefix}g`,
    ).map((row) => row.id)
  }
  usersOf(image: string): string[] {
    return this.#db.all<{ id: string }>("SELECT id FROM container WHERE image = ?", image)
      .map((row) => row.id)
  }

  create(row: Omit<ContainerRow, "state">): void {
    const holder = this.byName(row.name)
    if (holder !== undefined) throw new Refusal("nameTaken", holder)
    const image = this.#db.get("SELECT 1 FROM image WHERE id = ?", row.image)
    if (image === undefined) throw new Refusal("notFound", row.image)
    this.#db.run(
      "INSERT INTO container VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      row.id, row.name, row.image, row.imageName, row.createdMs, JSON.stringify(row.terms),
      JSON.stringify(row.given), JSON.stringify(row.layers), JSON.stringify(FRESH),
    )
  }
  /** Changes what is given, keeps the rest. A container without a row stays without one. */
  change(id: string, part: Partial<ContainerState>): void {
    const raw = this.#db.get<Raw>("SELECT * FROM container WHERE id = ?", id)
    if (raw === undefined) return
    const state = { ...(JSON.parse(raw.state) as ContainerState), ...part }
    this.#db.run("UPDATE container SET state = ? WHERE id = ?", JSON.stringify(state), id)
  }
  rename(id: string, name: string): void {
    const holder = this.byName(name)
    if (holder !== undefined && holder !== id) throw new Refusal("nameTaken", holder)
    const changed = this.#db.change("UPDATE container SET name = ? WHERE id = ?", name, id)
    if (changed === 0) throw new Refusal("notFound", id)
  }
  agree(id: string, terms: unknown, given: unknown): void {
    const changed = this.#db.change(
      "UPDATE container SET terms = ?, given = ? WHERE id = ?",
      JSON.stringify(terms), JSON.stringify(given), id,
    )
    if (changed === 0) throw new Refusal("notFound", id)
  }
  forget(id: string): void {
    this.#db.run("DELETE FROM container WHERE id = ?", id)
  }
}
