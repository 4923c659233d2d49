import type { ContainerView } from "../../engine/views/container.ts"
import type { Terms } from "../../oci/terms.ts"
import { conflict } from "../faults.ts"
import type { Given } from "./agree.ts"
import type { Defaults } from "./defaults.ts"
import type { HostConfig, UpdateBody } from "./docker.ts"
import { checkLimits, limitsOf } from "./limits.ts"
import { restartOf } from "./options.ts"

/** Limits that can be changed while a container lives. */
const CHANGEABLE = [
  "BlkioWeight", "CpuShares", "NanoCpus", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod",
  "CpuRealtimeRuntime", "CpusetCpus", "CpusetMems", "Memory", "MemorySwap", "MemoryReservation",
] as const

/** What an update cannot change because of what was agreed before. */
function conflictOf(body: UpdateBody, host: HostConfig): string | undefined {
  const nano = (body.NanoCpus ?? 0) > 0
  const hasNano = (host.NanoCpus ?? 0) > 0
  const already = (what: string, by: string) =>
    `Conflicting options: ${what} cannot be updated as ${by} has already been set`
  if (nano && (host.CpuPeriod ?? 0) > 0) return already("Nano CPUs", "CPU Period")
  if (nano && (host.CpuQuota ?? 0) > 0) return already("Nano CPUs", "CPU Quota")
  if ((body.CpuPeriod ?? 0) > 0 && hasNano) return already("CPU Period", "NanoCPUs")
  if ((body.CpuQuota ?? 0) > 0 && hasNano) return already("CPU Quota", "NanoCPUs")
  const memory = body.Memory ?? 0
  if (memory !== 0 && memory > (host.MemorySwap ?? 0) && (body.MemorySwap ?? 0) === 0) {
    return "Memory limit should be smaller than already set memoryswap limit, "
      + "update the memoryswap at the same time"
  }
  const restarts = restartOf(body.RestartPolicy).policy !== "no"
  return host.AutoRemove === true && restarts
    ? "Restart policy cannot be updated because AutoRemove is enabled for the container"
    : undefined
}

/** What a container is after an update: members that are absent or zero stay as they were. */
export function updated(
  view: ContainerView,
  body: UpdateBody,
  defaults: Defaults,
): { readonly terms: Terms; readonly given: Given } {
  checkLimits(body, defaults)
  const restart = restartOf(body.RestartPolicy)
  const given = view.given as Given
  const clash = conflictOf(body, given.HostConfig)
  if (clash !== undefined) throw conflict(`Cannot update container ${view.id}: ${clash}`)
  const changes = Object.fromEntries(
    CHANGEABLE.map((name) => [name, body[name]] as const)
      .filter(([, value]) => value !== undefined && value !== 0 && value !== ""),
  )
  const { PidsLimit: pids, ...host } = { ...given.HostConfig, ...changes }
  const limit = body.PidsLimit ?? pids ?? 0
  const policy = body.RestartPolicy?.Name ? { RestartPolicy: body.RestartPolicy } : {}
  const HostConfig: HostConfig = { ...host, ...(limit > 0 ? { PidsLimit: limit } : {}), ...policy }
  return {
    terms: {
      ...view.terms,
      resources: limitsOf(HostConfig),
      restart: body.RestartPolicy?.Name ? restart : view.terms.restart,
    },
    given: { ...given, HostConfig },
  }
}
