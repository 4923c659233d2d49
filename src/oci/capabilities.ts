import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/** A capability that Linux does not have. */
export class CapabilityFault extends Schema.TaggedError<CapabilityFault>()("CapabilityFault", {
  cause: Schema.String,
}) {}

/** Linux's capabilities by number (include/uapi/linux/capability.h). */
export const CAPABILITIES = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETPCAP",
  "CAP_LINUX_IMMUTABLE",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_BROADCAST",
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
  "CAP_IPC_LOCK",
  "CAP_IPC_OWNER",
  "CAP_SYS_MODULE",
  "CAP_SYS_RAWIO",
  "CAP_SYS_CHROOT",
  "CAP_SYS_PTRACE",
  "CAP_SYS_PACCT",
  "CAP_SYS_ADMIN",
  "CAP_SYS_BOOT",
  "CAP_SYS_NICE",
  "CAP_SYS_RESOURCE",
  "CAP_SYS_TIME",
  "CAP_SYS_TTY_CONFIG",
  "CAP_MKNOD",
  "CAP_LEASE",
  "CAP_AUDIT_WRITE",
  "CAP_AUDIT_CONTROL",
  "CAP_SETFCAP",
  "CAP_MAC_OVERRIDE",
  "CAP_MAC_ADMIN",
  "CAP_SYSLOG",
  "CAP_WAKE_ALARM",
  "CAP_BLOCK_SUSPEND",
  "CAP_AUDIT_READ",
  "CAP_PERFMON",
  "CAP_BPF",
  "CAP_CHECKPOINT_RESTORE",
] as const

/** What every container has unless it is asked for otherwise: Docker's set, in Docker's order. */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
]

const ALL = "ALL"

/** The capabilities in a mask as /proc/self/status shows it (`CapEff: 000001ffffffffff`). */
export function capabilitiesOf(mask: string): readonly string[] {
  const bits = BigInt(`0x${mask}`)
  return CAPABILITIES.filter((_, number) => (bits >> BigInt(number)) & 1n)
}

const fail = (cause: string) => Result.fail(new CapabilityFault({ cause }))

/** `net_admin` → `CAP_NET_ADMIN`; `all` stays `ALL`. `field` names the list in the fault. */
function normalise(names: readonly string[], field: "CapAdd" | "CapDrop") {
  return Result.all(names.map((text) => {
    const upper = text.toUpperCase()
    if (upper === ALL) return Result.succeed(ALL)
    const name = upper.startsWith("CAP_") ? upper : `CAP_${upper}`
    return CAPABILITIES.some((known) => known === name)
      ? Result.succeed(name)
      : fail(`invalid ${field}: unknown capability: "${name}"`)
  }))
}

/**
 * The capabilities of a container. `available` is what this daemon itself has: it cannot give
 * more, so that is what `ALL` and a privileged container mean.
 */
export function containerCapabilities(
  terms: {
    readonly privileged: boolean
    readonly capAdd: readonly string[]
    readonly capDrop: readonly string[]
  },
  available: readonly string[],
): Result.Result<readonly string[], CapabilityFault> {
  return Result.gen(function*() {
    const add = yield* normalise(terms.capAdd, "CapAdd")
    const drop = yield* normalise(terms.capDrop, "CapDrop")
    if (terms.privileged) return available
    if (add.includes(ALL)) return available.filter((name) => !drop.includes(name))
    if (drop.includes(ALL)) return [...new Set(add)]
    const kept = DEFAULT_CAPABILITIES.filter((name) => !drop.includes(name))
    return [...new Set([...kept, ...add])]
  })
}
