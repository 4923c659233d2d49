import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import Database from "better-sqlite3"

/** What a data root holds, read while no daemon has it. */
export interface Audit {
  /** Addresses and snapshots of the machines that live. */
  readonly machines: ReadonlyMap<string, { readonly value: unknown }>
  readonly images: readonly string[]
  /** What is on the disk without a row, or in a row without being on the disk. */
  readonly leaks: readonly string[]
  /** Rows of what is not finished: commands, checkpoints, staged images. */
  readonly unfinished: readonly string[]
}

/** Copies the database with its log, as a power cut left them, and opens the copy. */
const openCopy = (dataRoot: string, scratch: string): Database.Database | null => {
  if (!existsSync(join(dataRoot, "engine.db"))) return null
  rmSync(scratch, { recursive: true, force: true })
  mkdirSync(scratch, { recursive: true })
  for (const name of ["engine.db", "engine.db-wal"]) {
    const path = join(dataRoot, name)
    if (existsSync(path)) copyFileSync(path, join(scratch, name))
  }
  return new Database(join(scratch, "engine.db"))
}

const hasTables = (db: Database.Database): boolean =>
  db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'machine'").get() !== undefined

/**
 * Reads the database of a data root on a copy (`scratch` is a directory for it). Throws where
 * SQLite finds it damaged; null where there is none yet.
 */
export const audit = (dataRoot: string, scratch: string): Audit | null => {
  const db = openCopy(dataRoot, scratch)
  if (db === null) return null
  try {
    const verdict = db.pragma("quick_check", { simple: true })
    if (verdict !== "ok") throw new Error(`the database is damaged: ${String(verdict)}`)
    return hasTables(db) ? auditOf(db, dataRoot) : null
  } finally {
    db.close()
  }
}

const auditOf = (db: Database.Database, dataRoot: string): Audit => {
  const column = <A>(sql: string): readonly A[] => db.prepare(sql).pluck().all() as A[]
  const rows = db.prepare("SELECT address, snapshot FROM machine").all() as {
    address: string
    snapshot: string
  }[]
  const layers = column<number>("SELECT id FROM layer").map((id) => id.toString(36))
  const containers = column<string>("SELECT id FROM container")
  return {
    machines: new Map(rows.map(({ address, snapshot }) => [address, JSON.parse(snapshot)])),
    images: column("SELECT id FROM image"),
    leaks: [
      ...differences("overlay2", layers, join(dataRoot, "overlay2")),
      ...differences("containers", containers, join(dataRoot, "containers")),
      ...differences("tmp", [], join(dataRoot, "tmp")),
      ...column<string>(`SELECT 'lease of ' || kept || ' by ' || holder FROM lease
        WHERE holder NOT IN (SELECT address FROM machine)`),
    ],
    unfinished: [
      ...column<string>("SELECT 'command ' || name || ' of ' || address FROM command"),
      ...column<string>("SELECT 'checkpoint of ' || layer FROM checkpoint"),
      ...column<string>("SELECT 'staged ' || address FROM staged"),
      ...column<string>("SELECT 'not ready: ' || address FROM layer WHERE ready = 0"),
    ],
  }
}

const differences = (what: string, rows: readonly string[], directory: string): string[] => {
  const names = existsSync(directory) ? readdirSync(directory) : []
  return [
    ...names.filter((name) => !rows.includes(name)).map((name) => `${what}/${name} has no row`),
    ...rows.filter((row) => !names.includes(row)).map((row) => `${what}/${row} is missing`),
  ]
}
