import { readFileSync } from "node:fs"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { bind } from "./libc.ts"

const mallocTrim = bind("int malloc_trim(size_t pad)")
const madvise = bind("int madvise(uintptr_t address, size_t length, int advice)")
const MADV_PAGEOUT = 21

/**
 * V8's collector, which Node hides unless it is started with a flag; and any such flag on the
 * command line makes it throw away the compiled code of its own library (measured: 40 ms of each
 * start).
 */
const collector = (): NodeJS.GCFunction => {
  setFlagsFromString("--expose-gc")
  const gc = runInNewContext("gc") as NodeJS.GCFunction
  setFlagsFromString("--no-expose-gc")
  return gc
}

let gc: NodeJS.GCFunction | null = null

/** So many bytes of buffers may have become garbage that only a whole collection finds. */
const OLD_BYTES = 3 * 2 ** 20
/** Bytes of buffers that the last whole collection left: they are in use. */
let inUse = 0

/**
 * For who goes through many buffers: called every few MiB of them. V8 does not see how much memory
 * lies outside of its heap: it collects late, and what had to outlive two collections of young
 * garbage it does not look at again for long (measured, over a pull: 18 MB of 48).
 */
export const tidy = (): void => {
  gc ??= collector()
  gc({ type: "minor" })
  const held = process.memoryUsage().arrayBuffers
  inUse = Math.min(inUse, held)
  if (held > inUse + OLD_BYTES) {
    gc({ type: "major" })
    inUse = process.memoryUsage().arrayBuffers
  }
  mallocTrim(0)
}

/** Collects all garbage, compiled code that was not used of late as well; tens of milliseconds. */
export const collectAll = (): void => {
  gc ??= collector()
  gc({ type: "major", flavor: "last-resort" })
  mallocTrim(0)
}

/**
 * V8 14 computes wrongly in a loop that changes a number which a closure inside of it changes as
 * well, if it compiles that loop by Maglev while it runs: so it does not. For a process that works
 * hard; called once what a start needs is loaded, as any flag invalidates compiled code that is
 * kept. docs/decisions/0019.
 */
export const compileSoundly = (): void => setFlagsFromString("--no-maglev-osr")

/**
 * From here on code is interpreted and memory comes before speed: for a process that mostly waits.
 * Called once what a start needs is loaded, as each flag invalidates compiled code that is kept.
 */
export const staySmall = (): void => {
  for (const flag of ["--no-opt", "--no-maglev", "--optimize-for-size"]) setFlagsFromString(flag)
}

/**
 * What this process has in memory, bytes: its own, and what it maps from files. proc_pid_status(5).
 */
export const residentBytes = (): { readonly anonymous: number; readonly files: number } => {
  const status = readFileSync("/proc/self/status", "latin1")
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(status)?.[1] ?? 0) * 1024
  return { anonymous: field("RssAnon"), files: field("RssFile") }
}

/**
 * Has the kernel let go of pages of files that only this process maps and cannot change: they come
 * back from the disk when they are touched. Never MADV_DONTNEED, which forgets what was changed.
 */
export const pageOut = (): void => {
  for (const line of readFileSync("/proc/self/maps", "latin1").split("\n")) {
    const [range = "", permissions = "", , , , path = ""] = line.split(/\s+/)
    if (permissions.includes("w") || !path.startsWith("/")) continue
    const [start = 0, end = 0] = range.split("-").map((address) => Number.parseInt(address, 16))
    madvise(start, end - start, MADV_PAGEOUT) // EINVAL before Linux 5.4: then nothing is let go
  }
}
