import { closeSync, readSync, writeFileSync, openSync, constants } from "node:fs"
import { join } from "node:path"
import type { OciRuntime } from "./probe.ts"
import type { Process } from "./processes.ts"
import { watch } from "./reactor.ts"
import { head, pipe, scratch, spawn } from "./spawn.ts"

/**
 * conmon, each container's parent: it owns the log, the terminal and the exit status, and outlives
 * this daemon. Flags and messages: conmon(8), and `src/{cli,ctr_stdio,utils}.c` of conmon 2.1.
 */

export interface Keeper {
  readonly conmon: string
  readonly runtime: OciRuntime
  /** The runtime's state directory. */
  readonly state: string
  readonly id: string
  readonly bundle: string
  /** Where the exit code and the mark of an out-of-memory kill are left; on the disk. */
  readonly statusDirectory: string
  /** Path of the log; null: none is kept. */
  readonly log: string | null
  /** What journald is to know the container as; null: it is told nothing. */
  readonly journal: string | null
  readonly terminal: boolean
  readonly stdin: boolean
  /** Close the container's stdin when the first client that attached leaves; never a terminal's. */
  readonly stdinOnce: boolean
}

const argumentsOf = (keeper: Keeper): readonly string[] => [
  keeper.conmon,
  "--api-version", "1",
  "--sync", // fork no second time: we know its pid from the first moment
  "--cid", keeper.id,
  "--cuuid", keeper.id,
  "--name", keeper.journal ?? keeper.id.slice(0, 12),
  "--runtime", keeper.runtime.path,
  ...["--root", keeper.state].flatMap((argument) => ["--runtime-arg", argument]),
  "--bundle", keeper.bundle,
  "--container-pidfile", join(keeper.bundle, "pidfile"),
  "--persist-dir", keeper.statusDirectory,
  "--full-attach",
  "--log-path", keeper.log === null ? "none" : `k8s-file:${keeper.log}`,
  ...(keeper.journal === null ? [] : ["--log-path", "journald"]),
  "--log-level", "error",
  "--no-sync-log",
  ...(keeper.terminal ? ["--terminal"] : []),
  ...(keeper.stdin ? ["--stdin"] : []),
  ...(keeper.stdin && (keeper.terminal || !keeper.stdinOnce) ? ["--leave-stdin-open"] : []),
]

/** What became of a create: the container's first process, waiting to be started, or why not. */
export type Creation = { readonly pid: number } | { readonly refusal: string }

/**
 * Starts conmon, which has the runtime create the container. `created` comes once. Answers conmon's
 * own process at once, so that it can be noted before anything else happens.
 */
export const keep = (keeper: Keeper, created: (result: Creation) => void): Process => {
  const { reader, writer } = pipe()
  const errors = scratch()
  let text = ""
  const chunk = Buffer.alloc(16384)
  const finish = (result: Creation) => {
    watcher.close()
    closeSync(reader)
    closeSync(errors)
    created(result)
  }
  const watcher = watch(reader, () => {
    const length = readSome(reader, chunk)
    if (length === null) return
    text += chunk.toString("utf8", 0, length)
    if (length > 0 && !text.includes("\n")) return
    finish(resultOf(text, () => head(errors)))
  })
  try {
    const conmon = spawn({
      argv: argumentsOf(keeper),
      descriptors: { 2: errors, 3: writer },
      environment: ["_OCI_SYNCPIPE=3"],
      directory: keeper.bundle,
      hideUnified: keeper.runtime.hideUnified,
    }, () => {}, false)
    watcher.want(true, false)
    return conmon
  } catch (error) {
    watcher.close()
    closeSync(reader)
    closeSync(errors)
    throw error
  } finally {
    closeSync(writer)
  }
}

/** Bytes read, 0 at the end; null: none right now. */
const readSome = (descriptor: number, chunk: Buffer): number | null => {
  try {
    return readSync(descriptor, chunk)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return null
    throw error
  }
}

/**
 * The sync pipe's one line: `{"data":PID}`, or `{"data":-1,"message":"…"}`; nothing at all if
 * conmon itself failed.
 */
const resultOf = (text: string, errors: () => string): Creation => {
  const line = text.split("\n", 1)[0]!
  let answer: { data?: unknown; message?: unknown } = {}
  try {
    answer = JSON.parse(line)
  } catch {
    // No line at all, or not conmon's.
  }
  if (typeof answer.data === "number" && answer.data > 0) return { pid: answer.data }
  const message = typeof answer.message === "string" ? answer.message.trim() : ""
  return { refusal: message || errors().trim() || "conmon ended without a word" }
}

/** Tells conmon the size of the container's terminal. ENXIO: nobody listens. */
export const resizeTerminal = (bundle: string, height: number, width: number): void =>
  tell(bundle, `1 ${height} ${width}\n`)

/** Has conmon close its log and open it again by its name; false where it has ended meanwhile. */
export const reopenLog = (bundle: string): boolean => {
  try {
    tell(bundle, "2 0 0\n")
    return true
  } catch (error) {
    if (["ENXIO", "ENOENT"].includes((error as NodeJS.ErrnoException).code ?? "")) return false
    throw error
  }
}

/** Gives conmon an order through its FIFO; without one that listens, ENXIO or ENOENT. */
const tell = (bundle: string, order: string): void => {
  const descriptor = openSync(join(bundle, "ctl"), constants.O_WRONLY | constants.O_NONBLOCK)
  try {
    writeFileSync(descriptor, order)
  } finally {
    closeSync(descriptor)
  }
}
