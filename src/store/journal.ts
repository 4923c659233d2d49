import type { Address } from "../../machines/words.ts"
import type { Database } from "./database.ts"

/** When something was written down: which boot, since then, and what the wall clock said. */
export interface Moment {
  readonly boot: number
  readonly monoMs: number
  readonly wallMs: number
}

export interface MachineRow {
  readonly address: Address
  readonly version: number
  readonly seq: number
  readonly snapshot: string
  readonly quarantine: string | null
}

export interface JournalRow {
  readonly seq: number
  readonly address: Address
  readonly cause: number | null
  readonly boot: number
  readonly mono_ms: number
  readonly wall_ms: number
  readonly version: number
  readonly event: string
  readonly value: string
  readonly asked: string
  readonly base: string | null
}

export interface CommandRow {
  readonly id: number
  readonly address: Address
  readonly name: string
  readonly params: string
  readonly seq: number
  readonly boot: number
}

export interface TimerRow {
  readonly address: Address
  readonly id: string
  readonly event: string
  readonly seq: number
  readonly delay_ms: number
  readonly boot: number
  readonly due_mono_ms: number
  readonly due_wall_ms: number
}

/** Rows kept of the journal: of each living machine, and in all. */
const ROWS_PER_MACHINE = 256
const ROWS_FINISHED = 2_000

/** What the loop remembers: machines, their journal, open commands, timers. Rows, no meaning. */
export class Journal {
  readonly #db: Database
  constructor(db: Database) {
    this.#db = db
  }

  machines(): MachineRow[] {
    return this.#db.all("SELECT * FROM machine ORDER BY seq")
  }
  commands(): CommandRow[] {
    return this.#db.all("SELECT * FROM command ORDER BY id")
  }
  timers(): TimerRow[] {
    return this.#db.all("SELECT * FROM timer ORDER BY seq")
  }

  /** Appends a row; answers its seq, the only order there is. */
  append(row: {
    readonly address: Address
    readonly cause: number | null
    readonly version: number
    readonly event: string
    readonly value: string
    readonly asked: string
    readonly base: string | null
  }, at: Moment): number {
    return this.#db.run(
      `INSERT INTO journal
       (address, cause, boot, mono_ms, wall_ms, version, event, value, asked, base)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      row.address, row.cause, at.boot, at.monoMs, at.wallMs, row.version, row.event, row.value,
      row.asked, row.base,
    )
  }

  keep(address: Address, version: number, seq: number, snapshot: string): void {
    this.#db.run(
      `INSERT INTO machine VALUES (?, ?, ?, ?, NULL) ON CONFLICT DO UPDATE
       SET version = excluded.version, seq = excluded.seq, snapshot = excluded.snapshot`,
      address, version, seq, snapshot,
    )
  }
  forget(address: Address): void {
    this.#db.run("DELETE FROM machine WHERE address = ?", address)
    this.#db.run("DELETE FROM timer WHERE address = ?", address)
  }
  /** Forgets all that a machine had asked for. */
  drop(address: Address): void {
    this.#db.run("DELETE FROM command WHERE address = ?", address)
    this.#db.run("DELETE FROM timer WHERE address = ?", address)
  }
  quarantine(address: Address, why: string | null): void {
    this.#db.run("UPDATE machine SET quarantine = ? WHERE address = ?", why, address)
  }

  open(address: Address, name: string, params: string, seq: number, boot: number): number {
    return this.#db.run(
      "INSERT INTO command (address, name, params, seq, boot) VALUES (?, ?, ?, ?, ?)",
      address, name, params, seq, boot,
    )
  }
  close(command: number): void {
    this.#db.run("DELETE FROM command WHERE id = ?", command)
  }

  set(timer: TimerRow): void {
    this.#db.run(
      "INSERT OR REPLACE INTO timer VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      timer.address, timer.id, timer.event, timer.seq, timer.delay_ms, timer.boot,
      timer.due_mono_ms, timer.due_wall_ms,
    )
  }
  unset(address: Address, id: string): void {
    this.#db.run("DELETE FROM timer WHERE address = ? AND id = ?", address, id)
  }

  /** The newest rows of an address (or of all), oldest first, up to and including `at`. */
  history(address: Address | null, limit: number, at = Number.MAX_SAFE_INTEGER): JournalRow[] {
    const rows = address === null
      ? this.#db.all<JournalRow>(
        "SELECT * FROM journal WHERE seq <= ? ORDER BY seq DESC LIMIT ?", at, limit,
      )
      : this.#db.all<JournalRow>(
        "SELECT * FROM journal WHERE address = ? AND seq <= ? ORDER BY seq DESC LIMIT ?",
        address, at, limit,
      )
    return rows.reverse()
  }

  /** Drops what is too old: 256 rows a living machine, the newest 2,000 rows of finished ones. */
  prune(): number {
    const living = this.#db.change(
      `DELETE FROM journal WHERE seq IN (
         SELECT seq FROM (
           SELECT seq, row_number() OVER (PARTITION BY address ORDER BY seq DESC) AS n FROM journal
         ) WHERE n > ?)`,
      ROWS_PER_MACHINE,
    )
    const finished = this.#db.change(
      `DELETE FROM journal WHERE seq IN (
         SELECT seq FROM journal WHERE address NOT IN (SELECT address FROM machine)
         ORDER BY seq DESC LIMIT -1 OFFSET ?)`,
      ROWS_FINISHED,
    )
    return living + finished
  }

  /** Notes which boot of the machine this is; answers its number. */
  boot(bootId: string): { readonly boot: number; readonly reboot: boolean } {
    const row = this.#db.get<{ boot_id: string; boot: number }>("SELECT boot_id, boot FROM engine")!
    if (row.boot_id === bootId) return { boot: row.boot, reboot: false }
    this.#db.run("UPDATE engine SET boot_id = ?, boot = boot + 1", bootId)
    return { boot: row.boot + 1, reboot: row.boot > 0 }
  }
}
