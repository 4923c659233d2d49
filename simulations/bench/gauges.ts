import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { bind } from "../../src/kernel/libc.ts"
import { run } from "../images/command.ts"
import { memoryHierarchy, processesIn } from "../powercut/rig.ts"

/** Bytes that a memory cgroup is charged for. */
export interface Charged {
  /** Pages of files, those of programs among them. */
  readonly cache: number
  /** Written to, and not yet on the disk. */
  readonly dirty: number
  readonly anonymous: number
}

/** What a cgroup and those below it hold. Names: cgroup-v1/memory.rst, cgroup-v2.rst. */
export const chargedTo = (cgroup: string): Charged => {
  const text = readFileSync(join(cgroup, "memory.stat"), "utf8")
  const fields = new Map(text.split("\n").map((line) => line.split(" ") as [string, string]))
  const sum = (...names: readonly string[]) =>
    names.reduce((total, name) => total + Number(fields.get(name) ?? 0), 0)
  return fields.has("total_cache")
    ? {
      cache: sum("total_cache"),
      dirty: sum("total_dirty", "total_writeback"),
      anonymous: sum("total_rss"),
    }
    : {
      cache: sum("file"),
      dirty: sum("file_dirty", "file_writeback"),
      anonymous: sum("anon"),
    }
}

const SAMPLE_MS = 50

/** Looks every now and then how much anonymous memory a cgroup holds, until it is disposed. */
export const peakAnonymous = (
  cgroup: string,
): Disposable & { readonly bytes: () => number } => {
  let most = 0
  const sampler = setInterval(() => {
    most = Math.max(most, chargedTo(cgroup).anonymous)
  }, SAMPLE_MS)
  return { bytes: () => most, [Symbol.dispose]: () => clearInterval(sampler) }
}

const syscall = bind("long syscall(long number, int fd, void *range, void *stat, uint32_t flags)")
/** cachestat(2), of Linux 6.5 and later: the same number everywhere. */
const SYS_CACHESTAT = 451
const PAGE = 4096

/**
 * Bytes of a block device itself that are in memory: the metadata of the file system on it. Dirty
 * ones are in its journal by the time an fsync has answered, and so safe.
 */
export const deviceCache = (device: string): { readonly cache: number; readonly dirty: number } => {
  const file = openSync(`/dev/${device}`, "r")
  try {
    const stat = Buffer.alloc(40)
    const answer = Number(syscall(SYS_CACHESTAT, file, Buffer.alloc(16), stat, 0))
    if (answer !== 0) throw new Error("cachestat: Linux 6.5 or later is needed")
    const pages = (at: number) => Number(stat.readBigUInt64LE(at * 8)) * PAGE
    return { cache: pages(0), dirty: pages(1) + pages(2) }
  } finally {
    closeSync(file)
  }
}

/** Makes a cgroup whose processes may not be charged for more than this together. */
export const limitMemory = (cgroup: string, bytes: number): void => {
  mkdirSync(cgroup, { recursive: true })
  const isV1 = existsSync(join(cgroup, "memory.limit_in_bytes"))
  if (!isV1) {
    for (const above of [memoryHierarchy(), join(cgroup, "..")]) {
      writeFileSync(join(above, "cgroup.subtree_control"), "+memory")
    }
  }
  writeFileSync(join(cgroup, isV1 ? "memory.limit_in_bytes" : "memory.max"), String(bytes))
}

/** Bytes that processes map, each page shared out among those that share it; proc(5). */
export interface Mapped {
  /** Proportional set size. */
  readonly pss: number
  /** The part of it that no file holds. */
  readonly anonymous: number
  readonly rss: number
}

/** Sums over the processes of a cgroup, except those given. */
export const mappedIn = (cgroup: string, except: readonly number[] = []): Mapped => {
  const pids = processesIn(cgroup).filter((pid) => !except.includes(pid))
  return sum(pids.map(mappedBy))
}

const sum = (all: readonly Mapped[]): Mapped =>
  all.reduce((one, other) => ({
    pss: one.pss + other.pss,
    anonymous: one.anonymous + other.anonymous,
    rss: one.rss + other.rss,
  }), { pss: 0, anonymous: 0, rss: 0 })

const mappedBy = (pid: number): Mapped => {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")
  } catch {
    text = "" // it ended meanwhile
  }
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0) * 1024
  return { pss: field("Pss"), anonymous: field("Pss_Anon"), rss: field("Rss") }
}

const TICK_MS = 10

/** Processor time of all processes in a cgroup, and of their children that have ended; proc(5). */
export const processorMs = (cgroup: string): number =>
  processesIn(cgroup).reduce((total, pid) => total + ticksOf(pid) * TICK_MS, 0)

/** utime, stime, cutime and cstime. */
const ticksOf = (pid: number): number => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return fields.slice(11, 15).reduce((total, field) => total + Number(field), 0)
  } catch {
    return 0 // it ended meanwhile
  }
}

/** Writes out what is dirty on the whole machine and drops all cached pages that nobody maps. */
export const dropCaches = async (): Promise<void> => {
  await run("sync", [])
  writeFileSync("/proc/sys/vm/drop_caches", "3")
}
