import type { Usage } from "../../engine/views/stats.ts"
import { NEVER } from "./inspect.ts"

/** A measurement and when it was made. null: the container does not run. */
export interface Sample {
  readonly usage: Usage | null
  readonly ms: number
}

const cpu = (usage: Usage | null) =>
  usage === null
    ? {
      cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
      throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
    }
    : {
      cpu_usage: {
        total_usage: usage.cpuNs,
        usage_in_kernelmode: usage.cpuSystemNs,
        usage_in_usermode: usage.cpuUserNs,
        ...(usage.perCpuNs.length === 0 ? {} : { percpu_usage: usage.perCpuNs }),
      },
      system_cpu_usage: usage.machineCpuNs,
      online_cpus: usage.cpus,
      throttling_data: {
        periods: usage.periods,
        throttled_periods: usage.throttledPeriods,
        throttled_time: usage.throttledNs,
      },
    }

/** What the kernel no longer counts. */
const NO_BLOCKS = [
  "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive",
  "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive",
]

const blocks = (usage: Usage | null) => ({
  io_service_bytes_recursive: usage === null ? null : [
    { major: 0, minor: 0, op: "read", value: usage.readBytes },
    { major: 0, minor: 0, op: "write", value: usage.writtenBytes },
  ],
  ...Object.fromEntries(NO_BLOCKS.map((name) => [name, usage === null ? null : []])),
})

const networks = (usage: Usage) =>
  Object.fromEntries(
    Object.entries(usage.networks).map(([name, each]) => [name, {
      rx_bytes: each.rxBytes,
      rx_packets: each.rxPackets,
      rx_errors: each.rxErrors,
      rx_dropped: each.rxDropped,
      tx_bytes: each.txBytes,
      tx_packets: each.txPackets,
      tx_errors: each.txErrors,
      tx_dropped: each.txDropped,
    }]),
  )

const at = (sample: Sample | null): string =>
  sample === null || sample.usage === null ? NEVER : new Date(sample.ms).toISOString()

/** One line of `GET /containers/{id}/stats`; `before`: the sample it is to be compared with. */
export const statsLine = (id: string, name: string, now: Sample, before: Sample | null) => ({
  id,
  name: `/${name}`,
  read: at(now),
  preread: at(before),
  num_procs: 0,
  pids_stats: now.usage === null ? {} : {
    current: now.usage.pids,
    ...(now.usage.pidsMax === null ? {} : { limit: now.usage.pidsMax }),
  },
  cpu_stats: cpu(now.usage),
  precpu_stats: cpu(before?.usage ?? null),
  memory_stats: now.usage === null ? {} : {
    usage: now.usage.memory,
    limit: now.usage.memoryMax,
    ...(now.usage.memoryPeak === null ? {} : { max_usage: now.usage.memoryPeak }),
    stats: now.usage.memoryStats,
  },
  blkio_stats: blocks(now.usage),
  storage_stats: {},
  ...(now.usage === null || Object.keys(now.usage.networks).length === 0
    ? {}
    : { networks: networks(now.usage) }),
})
