import { readFileSync } from "node:fs"
import { cpus } from "node:os"
import { join } from "node:path"
import { readCgroups } from "./cgroups.ts"

/** What one container uses, as the kernel counts it. Times are nanoseconds, sizes bytes. */
export interface Usage {
  readonly cpuNs: number
  readonly cpuUserNs: number
  readonly cpuSystemNs: number
  /** On each processor; empty: the kernel does not say. */
  readonly perCpuNs: readonly number[]
  /** Of the whole machine, all processors together. */
  readonly machineCpuNs: number
  readonly cpus: number
  readonly periods: number
  readonly throttledPeriods: number
  readonly throttledNs: number
  readonly memory: number
  readonly memoryMax: number
  /** The most there ever was; null: the kernel does not say. */
  readonly memoryPeak: number | null
  /** memory.stat(7), as it is named there. */
  readonly memoryStats: Readonly<Record<string, number>>
  readonly pids: number
  /** null: no limit. */
  readonly pidsMax: number | null
  readonly readBytes: number
  readonly writtenBytes: number
  readonly networks: Readonly<Record<string, Traffic>>
}

/** One network interface of a container: proc_net_dev(5). */
export interface Traffic {
  readonly rxBytes: number
  readonly rxPackets: number
  readonly rxErrors: number
  readonly rxDropped: number
  readonly txBytes: number
  readonly txPackets: number
  readonly txErrors: number
  readonly txDropped: number
}

const text = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return "" // groups and processes vanish under a reader's hands
  }
}
const number = (path: string): number => Number(text(path).trim()) || 0

/** `name value` lines, as cgroups write them. */
const table = (path: string): Record<string, number> =>
  Object.fromEntries(
    text(path).split("\n").filter((line) => line !== "").map((line) => {
      const [name = "", value = "0"] = line.split(" ")
      return [name, Number(value)]
    }),
  )

/** The group of a process under one controller; empty controller: cgroup2. cgroups(7). */
function groupOf(pid: number, controller: string): string {
  const { hierarchies } = readCgroups()
  const mount = hierarchies.find(({ controllers }) =>
    controller === "" ? controllers.length === 0 : controllers.includes(controller))
  const line = text(`/proc/${pid}/cgroup`).split("\n").find((each) => {
    const [, names = ""] = each.split(":")
    return names.split(",").includes(controller)
  })
  const path = line?.slice(line.indexOf(":", line.indexOf(":") + 1) + 1)
  return mount === undefined || path === undefined ? "" : join(mount.mountPoint, path)
}

const NS_PER_US = 1000
/** USER_HZ is 100 on every architecture Linux still has. */
const NS_PER_TICK = 10_000_000

/** All that this machine's processors have done: the first line of proc_stat(5). */
const machineCpu = (): number =>
  text("/proc/stat").split("\n", 1)[0]!.split(/\s+/).slice(1, 9)
    .reduce((sum, ticks) => sum + Number(ticks), 0) * NS_PER_TICK

function traffic(pid: number): Record<string, Traffic> {
  const lines = text(`/proc/${pid}/net/dev`).split("\n").slice(2).filter((line) => line !== "")
  return Object.fromEntries(
    lines.map((line): [string, Traffic] => {
      const [name = "", counts = ""] = line.split(":")
      const columns = counts.trim().split(/\s+/).map(Number)
      const [rxBytes = 0, rxPackets = 0, rxErrors = 0, rxDropped = 0] = columns
      const [txBytes = 0, txPackets = 0, txErrors = 0, txDropped = 0] = columns.slice(8)
      const received = { rxBytes, rxPackets, rxErrors, rxDropped }
      return [name.trim(), { ...received, txBytes, txPackets, txErrors, txDropped }]
    }).filter(([name]) => name !== "lo"),
  )
}

/** `max`, or a number beyond anything that exists: no limit. */
const limit = (path: string): number | null => {
  const word = text(path).trim()
  const value = Number(word)
  return word === "" || word === "max" || value >= Number.MAX_SAFE_INTEGER ? null : value
}

const machineMemory = (): number =>
  Number(/^MemTotal:\s+(\d+) kB$/m.exec(text("/proc/meminfo"))?.[1] ?? 0) * 1024

/** Of rows `device way bytes`, all devices together. */
const sum = (rows: readonly (readonly string[])[], way: string): number =>
  rows.reduce((all, [, which, bytes]) => (which === way ? all + Number(bytes) : all), 0)

type Groups = Omit<Usage, "machineCpuNs" | "cpus" | "networks">

function version2(directory: string): Groups {
  const cpu = table(join(directory, "cpu.stat"))
  const io = [...text(join(directory, "io.stat")).matchAll(/\b([rw])bytes=(\d+)/g)]
  return {
    cpuNs: (cpu["usage_usec"] ?? 0) * NS_PER_US,
    cpuUserNs: (cpu["user_usec"] ?? 0) * NS_PER_US,
    cpuSystemNs: (cpu["system_usec"] ?? 0) * NS_PER_US,
    perCpuNs: [],
    periods: cpu["nr_periods"] ?? 0,
    throttledPeriods: cpu["nr_throttled"] ?? 0,
    throttledNs: (cpu["throttled_usec"] ?? 0) * NS_PER_US,
    memory: number(join(directory, "memory.current")),
    memoryMax: limit(join(directory, "memory.max")) ?? machineMemory(),
    memoryPeak: null,
    memoryStats: table(join(directory, "memory.stat")),
    pids: number(join(directory, "pids.current")),
    pidsMax: limit(join(directory, "pids.max")),
    readBytes: sum(io, "r"),
    writtenBytes: sum(io, "w"),
  }
}

function version1(pid: number): Groups {
  const [cpu, acct, memory, pids, block] = ["cpu", "cpuacct", "memory", "pids", "blkio"]
    .map((controller) => groupOf(pid, controller)) as [string, string, string, string, string]
  const throttling = table(join(cpu, "cpu.stat"))
  const io = text(join(block, "blkio.throttle.io_service_bytes")).split("\n")
    .map((line) => line.split(" "))
  return {
    cpuNs: number(join(acct, "cpuacct.usage")),
    cpuUserNs: number(join(acct, "cpuacct.usage_user")),
    cpuSystemNs: number(join(acct, "cpuacct.usage_sys")),
    perCpuNs: text(join(acct, "cpuacct.usage_percpu")).trim().split(/\s+/).map(Number),
    periods: throttling["nr_periods"] ?? 0,
    throttledPeriods: throttling["nr_throttled"] ?? 0,
    throttledNs: throttling["throttled_time"] ?? 0,
    memory: number(join(memory, "memory.usage_in_bytes")),
    memoryMax: limit(join(memory, "memory.limit_in_bytes")) ?? machineMemory(),
    memoryPeak: number(join(memory, "memory.max_usage_in_bytes")),
    memoryStats: table(join(memory, "memory.stat")),
    pids: number(join(pids, "pids.current")),
    pidsMax: limit(join(pids, "pids.max")),
    readBytes: sum(io, "Read"),
    writtenBytes: sum(io, "Write"),
  }
}

/** What the container of this process uses now. A process that is gone uses nothing. */
export const usageOf = (pid: number): Usage => {
  const { layout } = readCgroups()
  return {
    ...(layout === "v2" ? version2(groupOf(pid, "")) : version1(pid)),
    machineCpuNs: machineCpu(),
    cpus: cpus().length,
    networks: traffic(pid),
  }
}
