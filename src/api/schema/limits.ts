import type { Resources as Terms, Ulimit } from "../../oci/terms.ts"
import { invalid } from "../faults.ts"
import type { Defaults } from "./defaults.ts"
import type { Resources } from "./docker.ts"

const MEMORY_LEAST = 6 * 1024 * 1024
const NANO = 1_000_000_000
const PERIOD_US = 100_000

/** Refuses limits that Docker refuses. */
export function checkLimits(asked: Resources, defaults: Defaults): void {
  checkMemory(asked)
  checkCpu(asked, defaults)
  checkSet("CPUs", "cpuset cpus", asked.CpusetCpus ?? "", defaults.cpuset)
  checkSet("memory nodes", "cpuset mems", asked.CpusetMems ?? "", defaults.memoryNodes)
  const swappiness = asked.MemorySwappiness ?? -1
  if (swappiness < -1 || swappiness > 100) {
    throw invalid(`Invalid value: ${swappiness}, valid memory swappiness range is 0-100`)
  }
  if ((asked.DeviceRequests ?? []).length > 0) {
    const [first] = asked.DeviceRequests!
    const driver = JSON.stringify(first!.Driver ?? "")
    const kinds = (first!.Capabilities ?? []).map((all) => `[${all.join(" ")}]`).join(" ")
    throw invalid(`could not select device driver ${driver} with capabilities: [${kinds}]`)
  }
}

function checkMemory(asked: Resources): void {
  const { Memory: memory = 0, MemorySwap: swap = 0, MemoryReservation: reservation = 0 } = asked
  if (memory !== 0 && memory < MEMORY_LEAST) throw invalid("Minimum memory limit allowed is 6MB")
  if (memory > 0 && swap > 0 && swap < memory) {
    throw invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
  }
  if (memory === 0 && swap > 0) {
    throw invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
  }
  if (reservation !== 0 && reservation < MEMORY_LEAST) {
    throw invalid("Minimum memory reservation allowed is 6MB")
  }
  if (memory > 0 && reservation > 0 && memory < reservation) {
    throw invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
  }
}

function checkCpu(asked: Resources, { cpus }: Defaults): void {
  const { NanoCpus: nano = 0, CpuPeriod: period = 0, CpuQuota: quota = 0 } = asked
  if (nano !== 0 && period > 0) {
    throw invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set")
  }
  if (nano !== 0 && quota > 0) {
    throw invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
  }
  if (nano < 0 || nano > cpus * NANO) {
    throw invalid(
      `Range of CPUs is from 0.01 to ${cpus}.00, as there are only ${cpus} CPUs available`,
    )
  }
  if (period !== 0 && (period < 1_000 || period > 1_000_000)) {
    throw invalid("CPU cfs period can not be less than 1ms (i.e. 1000) "
      + "or larger than 1s (i.e. 1000000)")
  }
  if (quota > 0 && quota < 1_000) {
    throw invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
  }
  const { CpuShares: shares = 0 } = asked
  if (shares < 0) {
    throw invalid(`invalid CPU shares (${shares}): value must be a positive integer`)
  }
}

/** Reads `0-2,7`; undefined: that is no list. */
function numbersOf(text: string): Set<number> | undefined {
  const numbers = new Set<number>()
  for (const part of text.split(",")) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part.trim())
    if (match === null) return undefined
    const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])]
    if (last < first) return undefined
    for (let number = first; number <= last; number++) numbers.add(number)
  }
  return numbers
}

function checkSet(what: string, option: string, asked: string, available: string): void {
  if (asked === "") return
  const wanted = numbersOf(asked)
  if (wanted === undefined) {
    throw invalid(`Invalid value ${asked} for ${option}: invalid format: ${asked}`)
  }
  if (!wanted.isSubsetOf(numbersOf(available) ?? wanted)) {
    throw invalid(
      `Requested ${what} are not available - requested ${asked}, available: ${available}`,
    )
  }
}

/** Limits in this engine's words. */
export function limitsOf(asked: Resources): Terms {
  const nano = asked.NanoCpus ?? 0
  const memory = Math.max(asked.Memory ?? 0, 0)
  return {
    memory,
    memorySwap: swapOf(asked),
    memoryReservation: asked.MemoryReservation ?? 0,
    memorySwappiness: asked.MemorySwappiness ?? -1,
    oomKillDisable: asked.OomKillDisable ?? false,
    cpuShares: asked.CpuShares ?? 0,
    cpuPeriod: nano > 0 ? PERIOD_US : asked.CpuPeriod ?? 0,
    cpuQuota: nano > 0 ? Math.floor(nano * PERIOD_US / NANO) : asked.CpuQuota ?? 0,
    cpuRealtimePeriod: asked.CpuRealtimePeriod ?? 0,
    cpuRealtimeRuntime: asked.CpuRealtimeRuntime ?? 0,
    cpusetCpus: asked.CpusetCpus ?? "",
    cpusetMems: asked.CpusetMems ?? "",
    pids: Math.max(asked.PidsLimit ?? 0, 0),
    blkioWeight: asked.BlkioWeight ?? 0,
  }
}

/** Memory and swap together; what says only memory gets as much swap again. */
export const swapOf = ({ Memory: memory = 0, MemorySwap: swap = 0 }: Resources): number =>
  memory > 0 && swap === 0 ? 2 * memory : swap

const ULIMITS = new Set([
  "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
  "rtprio", "rttime", "sigpending", "stack",
])

/** What a request asks for, and the engine's own for all else. */
export function ulimitsOf(asked: Resources, defaults: Defaults): Ulimit[] {
  const ours = (asked.Ulimits ?? []).map(({ Name: name = "", Soft: soft = 0, Hard: hard = 0 }) => {
    if (!ULIMITS.has(name)) throw invalid(`invalid ulimit type: ${name}`)
    if (hard !== -1 && (soft === -1 || soft > hard)) {
      throw invalid(`ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`)
    }
    return { name, soft, hard }
  })
  const named = new Set(ours.map(({ name }) => name))
  return [...ours, ...defaults.ulimits.filter(({ name }) => !named.has(name))]
}
