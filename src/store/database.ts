import Sqlite from "better-sqlite3"
import { OLDEST_READER, SCHEMA_VERSION, STEPS } from "./schema.ts"

/** A value SQLite takes or gives. */
export type Cell = string | number | bigint | Uint8Array | null

/** A database that this program cannot or must not work with, and what to do about it. */
export class UnusableDatabase extends Error {
  override readonly name = "UnusableDatabase"
}

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : ""

/** The disk takes no more: it is full, over a quota, or refuses to be written. */
const NO_ROOM = ["SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE"]

/** Could rows not be written, though all that was written before is as good as ever? */
export const isNoRoom = (error: unknown): boolean => NO_ROOM.includes(codeOf(error))

const DISK = /^SQLITE_(FULL|IOERR|CORRUPT|NOTADB|CANTOPEN|READONLY|NOMEM|PROTOCOL|BUSY)/

/** Is it the disk's fault or the machine's, and not that of whoever's rows these are? */
export const isDiskFault = (error: unknown): boolean => DISK.test(codeOf(error))

/** Of these it is for sure that the disk is full; what else may not be written has many reasons. */
const FULL = ["SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"]

/** What SQLite says, in the kernel's words where those are better known. */
export const wordsOf = (error: unknown): string =>
  FULL.includes(codeOf(error)) ? "no space left on device" : (error as Error).message

/**
 * One SQLite connection with its prepared statements. In WAL mode with `synchronous=NORMAL` a
 * commit is ordered but not durable: the loop asks for an fdatasync of the WAL, off the main
 * thread, and only then acts (docs/journal.md). A simulated disk overrides `begin`, `commit` and
 * `rollback`.
 */
export class Database {
  readonly #db: Sqlite.Database
  readonly #statements = new Map<string, Sqlite.Statement>()

  /** `path` is a file, or `:memory:` for the simulator. Throws `UnusableDatabase`. */
  constructor(path: string) {
    this.#db = new Sqlite(path)
    try {
      this.#open()
    } catch (error) {
      this.#db.close()
      throw codeOf(error).startsWith("SQLITE_") ? unusable(path, error) : error
    }
  }

  #open(): void {
    const version = this.#version() // before anything is changed
    this.#db.pragma("page_size = 1024") // a commit writes whole pages: small ones, few bytes
    this.#db.pragma("journal_mode = WAL")
    this.#db.pragma("synchronous = NORMAL") // a reopened WAL database has it anyway: say so
    this.#db.pragma("wal_autocheckpoint = 0") // the loop does it when it has nothing else to do
    this.#db.pragma("foreign_keys = ON")
    this.#db.pragma("cache_size = -1024")
    this.#migrate(version)
  }

  begin(): void {
    this.run("BEGIN IMMEDIATE")
  }
  commit(): void {
    this.run("COMMIT")
  }
  rollback(): void {
    if (this.#db.inTransaction) this.run("ROLLBACK")
  }

  /** Runs `body` so that either all it wrote counts, or none of it. Nests. */
  savepoint<A>(body: () => A): A {
    this.run("SAVEPOINT step")
    try {
      const result = body()
      this.run("RELEASE step")
      return result
    } catch (error) {
      if (this.#db.inTransaction) {
        this.run("ROLLBACK TO step")
        this.run("RELEASE step")
      }
      throw error
    }
  }

  /** Changes rows; answers the new row's id. */
  run(sql: string, ...cells: Cell[]): number {
    return Number(this.#statement(sql).run(...cells).lastInsertRowid)
  }
  /** Changes rows; answers how many. */
  change(sql: string, ...cells: Cell[]): number {
    return this.#statement(sql).run(...cells).changes
  }
  /** The first row, or undefined. The caller names its shape: the schema is STRICT. */
  get<Row>(sql: string, ...cells: Cell[]): Row | undefined {
    return this.#statement(sql).get(...cells) as Row | undefined
  }
  all<Row>(sql: string, ...cells: Cell[]): Row[] {
    return this.#statement(sql).all(...cells) as Row[]
  }

  get inTransaction(): boolean {
    return this.#db.inTransaction
  }

  /** Moves the WAL into the database file and empties it; tens of milliseconds at 4 MiB. */
  checkpoint(): void {
    this.#db.pragma("wal_checkpoint(TRUNCATE)")
  }
  close(): void {
    this.#db.close()
  }

  #statement(sql: string): Sqlite.Statement {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const made = this.#db.prepare(sql)
    this.#statements.set(sql, made)
    return made
  }

  /** What wrote the file; refuses one that only a newer program may open. */
  #version(): number {
    const version = this.#db.pragma("user_version", { simple: true }) as number
    if (version <= SCHEMA_VERSION) return version
    const oldest = this.get<{ oldest_reader: number }>("SELECT oldest_reader FROM engine")
      ?.oldest_reader ?? version
    if (oldest <= SCHEMA_VERSION) return version
    throw new UnusableDatabase(
      `the data root was written by a newer engine: its database has version ${version} and can ` +
        `be read from version ${oldest} on; this engine has version ${SCHEMA_VERSION}. Nothing ` +
        "was changed: start the newer engine again, or choose another --data-root",
    )
  }

  #migrate(version: number): void {
    if (version >= SCHEMA_VERSION) return
    this.#db.exec("BEGIN IMMEDIATE")
    for (const step of STEPS.slice(version)) this.#db.exec(step)
    this.#db.exec(`INSERT INTO engine VALUES (1, ${OLDEST_READER}, '', 0)
      ON CONFLICT DO UPDATE SET oldest_reader = excluded.oldest_reader`)
    this.#db.pragma(`user_version = ${SCHEMA_VERSION}`)
    this.#db.exec("COMMIT")
  }
}

const unusable = (path: string, error: unknown): UnusableDatabase =>
  new UnusableDatabase(
    isNoRoom(error)
      ? `${wordsOf(error)}: the database ${path} cannot be written; make room on its disk`
      : `the database ${path} cannot be read (${wordsOf(error)}): it is left as it is. Bring ` +
        "back a copy of it, or move the data root away to begin with an empty one",
    { cause: error },
  )
