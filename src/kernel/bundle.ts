import {
  existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync,
} from "node:fs"
import { join } from "node:path"
import type { Endpoint } from "./links.ts"
import { bootId, type Process } from "./processes.ts"
import type { OciRuntime } from "./probe.ts"

/**
 * A container's bundle, `<exec-root>/bundles/<id>`: the runtime spec, the mount point of its root
 * file system, conmon's sockets, and a record of what was started, for a daemon that comes after.
 */
export interface Bundle {
  readonly path: string
  readonly rootfs: string
  /** Mount point of the /dev/shm that other containers may share. */
  readonly shm: string
}

/** What a start has made so far. Written before each thing is made, or at once after. */
export interface Record {
  /** Pids mean nothing after a reboot. */
  readonly boot: string
  readonly runtime: OciRuntime
  /** The runtime's state directory. */
  readonly state: string
  /** The container's group in every cgroup hierarchy. */
  readonly cgroup: string
  readonly conmon: Process | null
  /** The container's first process; null: not created yet. */
  readonly init: Process | null
  /** What it was given on a network; null: nothing. */
  readonly endpoint: Endpoint | null
}

/** Where the bundle of a container is. The id is checked: it becomes a path. */
export const bundleOf = (execRoot: string, id: string): Bundle => {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(id)) throw new Error(`not a container id: ${id}`)
  const path = join(execRoot, "bundles", id)
  return { path, rootfs: join(path, "rootfs"), shm: join(path, "shm") }
}

/** Ids of the containers that have a bundle. */
export const bundlesIn = (execRoot: string): readonly string[] => {
  const path = join(execRoot, "bundles")
  return existsSync(path) ? readdirSync(path) : []
}

/** Makes an empty bundle; only root may look into it. */
export const makeBundle = (bundle: Bundle): void => {
  mkdirSync(bundle.rootfs, { recursive: true, mode: 0o700 })
}

export const bundleExists = (bundle: Bundle): boolean => existsSync(bundle.path)

/** Writes the record whole or not at all. */
export const writeRecord = (bundle: Bundle, record: Record): void => {
  const path = join(bundle.path, "record.json")
  writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

/** The record of this boot; null: nothing was started. */
export const readRecord = (bundle: Bundle): Record | null => {
  try {
    const record: Record = JSON.parse(readFileSync(join(bundle.path, "record.json"), "utf8"))
    return record.boot === bootId() ? record : null
  } catch (error) {
    // Never flushed: where exec-root is on a disk, a power cut may leave it empty.
    const isTorn = error instanceof SyntaxError
    if (isTorn || (error as NodeJS.ErrnoException).code === "ENOENT") return null
    throw error
  }
}

/** Has the runtime been told to start what it created? Both runtimes keep this FIFO until then. */
export const wasStarted = ({ state }: Record, id: string): boolean =>
  existsSync(join(state, id)) && !existsSync(join(state, id, "exec.fifo"))

/** Where a runtime keeps what it knows of its containers. */
export const stateDirectory = (execRoot: string, runtime: OciRuntime["name"]): string =>
  join(execRoot, runtime)

/** Forgets what any runtime knows of a container: nothing but plain files. */
export const removeState = (execRoot: string, id: string): void => {
  for (const runtime of ["crun", "runc"] as const) {
    rmSync(join(stateDirectory(execRoot, runtime), id), { recursive: true, force: true })
  }
}

/**
 * Removes a bundle, the record last. Its mount points must be gone: nothing here ever removes a
 * directory with what is in it, as that could be the container's files.
 */
export const removeBundle = (bundle: Bundle): void => {
  let names: readonly string[]
  try {
    names = readdirSync(bundle.path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return
    throw error
  }
  const record = "record.json"
  for (const name of [...names.filter((name) => name !== record), record]) {
    if (name === "empty") rmdirSync(join(bundle.path, name))
    else rmSync(join(bundle.path, name), { force: true })
  }
  rmdirSync(bundle.path)
}
