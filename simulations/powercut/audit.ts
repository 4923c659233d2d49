import { createHash } from "node:crypto"
import {
  existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync,
} from "node:fs"
import { join } from "node:path"
import Database from "better-sqlite3"

/** A layer that its row says is ready. */
export interface LayerPlace {
  readonly address: string
  readonly diffId: string
  readonly directory: string
}

/** What a data root holds, read while no daemon has it. */
export interface Audit {
  /** Addresses and snapshots of the machines that live. */
  readonly machines: ReadonlyMap<string, { readonly value: unknown }>
  /** The last events that were journalled. */
  readonly recent: readonly string[]
  readonly images: readonly string[]
  readonly layers: readonly LayerPlace[]
  /** Images that are shown and are not whole, as far as rows can tell. */
  readonly unsound: readonly string[]
  /** What is on the disk without a row, or in a row without being on the disk. */
  readonly leaks: readonly string[]
  /** Rows of what is not finished: commands, checkpoints, staged images, deltas and pushes. */
  readonly unfinished: readonly string[]
}

/**
 * Copies the database with its log, as a power cut left them, and opens the copy (`scratch` is a
 * directory for it); null where there is none yet.
 */
export const openCopy = (dataRoot: string, scratch: string): Database.Database | null => {
  if (!existsSync(join(dataRoot, "engine.db"))) return null
  rmSync(scratch, { recursive: true, force: true })
  mkdirSync(scratch, { recursive: true })
  for (const name of ["engine.db", "engine.db-wal"]) {
    const path = join(dataRoot, name)
    // Not copyFile: libuv's never ends where the engine cuts the file meanwhile.
    if (existsSync(path)) writeFileSync(join(scratch, name), readFileSync(path))
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
  return {
    machines: new Map(rows.map(({ address, snapshot }) => [address, JSON.parse(snapshot)])),
    recent: column("SELECT address || ' ' || event FROM journal ORDER BY seq DESC LIMIT 10"),
    images: column("SELECT id FROM image"),
    layers: placesOf(db, dataRoot),
    unsound: column<string>("SELECT id FROM image").flatMap((id) => faultsOf(db, id)),
    leaks: [
      ...differences("overlay2", layers, join(dataRoot, "overlay2")),
      ...differences(
        "containers",
        column("SELECT id FROM container"),
        join(dataRoot, "containers"),
      ),
      ...differences("tmp", [], join(dataRoot, "tmp")),
      ...column<string>(`SELECT 'lease of ' || kept || ' by ' || holder FROM lease
        WHERE holder NOT IN (SELECT address FROM machine)`),
    ],
    unfinished: [
      ...column<string>("SELECT 'command ' || name || ' of ' || address FROM command"),
      ...column<string>("SELECT 'checkpoint of ' || layer FROM checkpoint"),
      ...column<string>("SELECT 'staged ' || address FROM staged"),
      ...column<string>(`SELECT 'machine ' || address FROM machine
        WHERE address GLOB 'delta/*' OR address GLOB 'push/*'`),
      ...column<string>("SELECT 'not ready: ' || address FROM layer WHERE ready = 0"),
    ],
  }
}

const placesOf = (db: Database.Database, dataRoot: string): readonly LayerPlace[] => {
  const rows = db.prepare("SELECT id, address, diff_id FROM layer WHERE ready = 1").all() as {
    id: number
    address: string
    diff_id: string
  }[]
  return rows.map(({ id, address, diff_id: diffId }) => ({
    address,
    diffId,
    directory: join(dataRoot, "overlay2", id.toString(36)),
  }))
}

/** An image is the digest of its config, and stands on ready layers of the diff IDs named there. */
const faultsOf = (db: Database.Database, id: string): readonly string[] => {
  const config = db.prepare("SELECT config FROM image WHERE id = ?").pluck().get(id) as Buffer
  const found = db.prepare(`SELECT diff_id FROM image_layer JOIN layer ON address = layer
    WHERE image = ? AND ready = 1 ORDER BY position`).pluck().all(id)
  const { rootfs } = JSON.parse(config.toString()) as { rootfs: { diff_ids: readonly string[] } }
  const digest = createHash("sha256").update(config).digest("hex")
  return [
    ...(id === `sha256:${digest}` ? [] : [`the config of ${id} hashes to ${digest}`]),
    ...(rootfs.diff_ids.join() === found.join() ? [] : [`${id} stands on ${found.join(", ")}`]),
  ]
}

const differences = (what: string, rows: readonly string[], directory: string): string[] => {
  const names = existsSync(directory) ? readdirSync(directory) : []
  return [
    ...names.filter((name) => !rows.includes(name)).map((name) => `${what}/${name} has no row`),
    ...rows.filter((row) => !names.includes(row)).map((row) => `${what}/${row} is missing`),
  ]
}
