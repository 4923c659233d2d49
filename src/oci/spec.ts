import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { containerCapabilities } from "./capabilities.ts"
import { devicesOf, type DeviceNode, type DeviceRule, type FindDevices } from "./devices.ts"
import { INIT_PATH, type Mount, mountsOf, rootPropagation } from "./mounts.ts"
import { type Seccomp, seccompOf } from "./seccomp.ts"
import type { Resources, Terms, Ulimit } from "./terms.ts"
import { identityOf } from "./users.ts"

/** Why a container cannot be run as asked; `cause` is worded as Docker words it. */
export class SpecFault extends Schema.TaggedError<SpecFault>()("SpecFault", {
  cause: Schema.String,
}) {
  override get message(): string {
    return this.cause
  }
}

/** What counts about the machine and this daemon on it. */
export interface Machine {
  /** Go's name: `arm64`. */
  readonly architecture: string
  /** `uname -r`. */
  readonly kernel: string
  readonly cgroupVersion: 1 | 2
  /** What this process has (`capabilitiesOf` its CapEff): it cannot give more. */
  readonly capabilities: readonly string[]
}

export interface SpecInput {
  readonly terms: Terms
  /** The name the container sees itself by; the host's or another's where it shares theirs. */
  readonly hostname: string
  /**
   * Directory of the hostname, hosts and resolv.conf it gets: its own home, or that of the
   * container whose network it shares.
   */
  readonly home: string
  /** `/docker/<id>`, or `slice:docker:<id>` under systemd. */
  readonly cgroupsPath: string
  readonly machine: Machine
  /** Where docker-init (tini) is on the host; null: nowhere. */
  readonly initPath: string | null
  readonly findDevices: FindDevices
  /** The first process of another container, whose namespace is to be shared; null: not running. */
  readonly pidOf: (id: string) => number | null
  /** On the host: the /dev/shm that it shares with other containers; null: it has its own. */
  readonly shm: string | null
  /** Does another container let its IPC namespace be shared? */
  readonly sharesIpc: (id: string) => boolean
}

/** The container's root file system, mounted. `read` answers null if there is no such file. */
export interface Rootfs {
  readonly path: string
  readonly read: (path: string) => string | null
}

/** A runtime spec (OCI runtime-spec 1.0, config.md), as far as this engine fills it. */
export interface RuntimeSpec {
  readonly ociVersion: string
  readonly process: {
    readonly terminal?: boolean
    readonly user: {
      readonly uid: number
      readonly gid: number
      readonly additionalGids: readonly number[]
    }
    readonly args: readonly string[]
    readonly env: readonly string[]
    readonly cwd: string
    readonly capabilities: Readonly<Record<string, readonly string[]>>
    readonly rlimits?: readonly unknown[]
    readonly noNewPrivileges?: boolean
    readonly oomScoreAdj: number
  }
  readonly root: { readonly path: string; readonly readonly?: boolean }
  readonly hostname?: string
  readonly mounts: readonly Mount[]
  readonly annotations?: Readonly<Record<string, string>>
  readonly linux: {
    readonly sysctl?: Readonly<Record<string, string>>
    readonly resources:
      & { readonly devices: readonly DeviceRule[] }
      & Readonly<Record<string, unknown>>
    readonly cgroupsPath: string
    readonly namespaces: readonly Namespace[]
    readonly devices?: readonly DeviceNode[]
    readonly seccomp?: Seccomp
    readonly rootfsPropagation?: string
    readonly maskedPaths?: readonly string[]
    readonly readonlyPaths?: readonly string[]
  }
}

export interface Namespace {
  readonly type: string
  readonly path?: string
}

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/** Docker's, and since 25 the power meters, which tell neighbours' secrets (CVE-2020-8694). */
export const MASKED_PATHS: readonly string[] = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
]

export const READONLY_PATHS: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
]

/**
 * Reckons the runtime spec of a container: what dockerd would give the same runtime for the same
 * terms. Throws `SpecFault`, as it is called from plain code, once the root file system is mounted.
 */
export const runtimeSpec = (input: SpecInput, rootfs: Rootfs): RuntimeSpec =>
  Result.getOrThrowWith(
    reckon(input, rootfs),
    (fault) => new SpecFault({ cause: fault.cause }),
  )

const reckon = (input: SpecInput, rootfs: Rootfs) =>
  Result.gen(function*() {
    const { terms, machine } = input
    if (terms.args.length === 0) return yield* fail("No command specified")
    const identity = yield* identityOf(
      terms.user,
      terms.groups,
      rootfs.read("/etc/passwd"),
      rootfs.read("/etc/group"),
    )
    const capabilities = yield* containerCapabilities(terms, machine.capabilities)
    const initPath = yield* initOf(input)
    const mounts = yield* mountsOf({ ...terms, home: input.home, shm: input.shm, initPath })
    const devices = yield* devicesOf(terms, input.findDevices)
    const namespaces = yield* namespacesOf(input)
    const seccomp = terms.privileged ? null : yield* seccompOf(terms.seccomp, {
      capabilities,
      architecture: machine.architecture,
      kernel: machine.kernel,
    })
    const propagation = rootPropagation(terms.mounts)
    const sysctl = sysctlsOf(terms)
    const spec: RuntimeSpec = {
      ociVersion: "1.0.2",
      process: {
        ...(terms.terminal ? { terminal: true } : {}),
        user: { uid: identity.uid, gid: identity.gid, additionalGids: identity.groups },
        args: initPath === null ? terms.args : [INIT_PATH, "--", ...terms.args],
        env: envOf(input, identity.known),
        cwd: terms.cwd === "" ? "/" : terms.cwd,
        capabilities: capabilitySets(capabilities, identity.uid),
        ...(terms.ulimits.length > 0 ? { rlimits: terms.ulimits.map(rlimit) } : {}),
        ...(terms.noNewPrivileges ? { noNewPrivileges: true } : {}),
        oomScoreAdj: terms.oomScoreAdj,
      },
      root: { path: rootfs.path, ...(terms.readonlyRootfs ? { readonly: true } : {}) },
      ...(terms.utsMode === "host" ? {} : { hostname: input.hostname }),
      mounts,
      ...(Object.keys(terms.annotations).length > 0 ? { annotations: terms.annotations } : {}),
      linux: {
        ...(Object.keys(sysctl).length > 0 ? { sysctl } : {}),
        resources: {
          devices: devices.rules,
          ...resourcesOf(terms.resources, machine.cgroupVersion),
        },
        cgroupsPath: input.cgroupsPath,
        namespaces,
        ...(devices.nodes.length > 0 ? { devices: devices.nodes } : {}),
        ...(seccomp === null ? {} : { seccomp }),
        ...(propagation === null ? {} : { rootfsPropagation: propagation }),
        ...pathsOf(terms),
      },
    }
    return spec
  })

const fail = (cause: string) => Result.fail(new SpecFault({ cause }))

/** docker-init's path if the container gets it: where its pid 1 is its own. */
function initOf({ terms, initPath }: SpecInput): Result.Result<string | null, SpecFault> {
  if (!terms.init || !isPrivate(terms.pidMode)) return Result.succeed(null)
  return initPath === null
    ? fail("exec: \"docker-init\": executable file not found in $PATH: install tini")
    : Result.succeed(initPath)
}

/** Neither the host's nor another container's. */
const isPrivate = (mode: string): boolean => mode !== "host" && !mode.startsWith("container:")

/** The engine's defaults, then what was asked for; a name without `=` takes a default away. */
function envOf({ terms, hostname }: SpecInput, known: boolean): readonly string[] {
  const env = new Map([["PATH", `PATH=${DEFAULT_PATH}`], ["HOSTNAME", `HOSTNAME=${hostname}`]])
  if (terms.terminal) env.set("TERM", "TERM=xterm")
  for (const entry of terms.env) {
    const equals = entry.indexOf("=")
    if (equals < 0) env.delete(entry)
    else env.set(entry.slice(0, equals), entry)
  }
  // runc says so of itself, crun says nothing.
  if (!known && !env.has("HOME")) env.set("HOME", "HOME=/")
  return [...env.values()]
}

/** Someone other than root gets none at once, but may gain those of the bounding set by setuid. */
function capabilitySets(
  names: readonly string[],
  uid: number,
): Readonly<Record<string, readonly string[]>> {
  if (names.length === 0) return {}
  return uid === 0 ? { bounding: names, effective: names, permitted: names } : { bounding: names }
}

/** RLIM_INFINITY: more than a JavaScript number holds exactly, so it is written as text. */
const UNLIMITED = (JSON as unknown as { readonly rawJSON: (text: string) => unknown })
  .rawJSON("18446744073709551615")

const rlimit = ({ name, soft, hard }: Ulimit) => ({
  type: `RLIMIT_${name.toUpperCase()}`,
  hard: hard < 0 ? UNLIMITED : hard,
  soft: soft < 0 ? UNLIMITED : soft,
})

/** The namespaces of a container: its own, another's, or (left out) the host's. */
function namespacesOf(input: SpecInput): Result.Result<readonly Namespace[], SpecFault> {
  const { terms } = input
  const namespace = (type: string, file: string, mode: string) => {
    if (mode === "host") return Result.succeed([])
    if (isPrivate(mode)) return Result.succeed([{ type }])
    const id = mode.slice("container:".length)
    const pid = input.pidOf(id)
    if (pid === null) return fail(notRunning(type, id))
    return type === "ipc" && !input.sharesIpc(id)
      ? fail(`can't join IPC of container ${id}: non-shareable IPC ` +
        "(hint: use IpcMode:shareable for the donor container)")
      : Result.succeed([{ type, path: `/proc/${pid}/ns/${file}` }])
  }
  return Result.gen(function*() {
    return [
      { type: "mount" },
      ...(yield* namespace("network", "net", terms.network.mode)),
      ...(yield* namespace("uts", "uts", terms.utsMode)),
      ...(yield* namespace("pid", "pid", terms.pidMode)),
      ...(yield* namespace("ipc", "ipc", terms.ipcMode)),
      ...(yield* namespace("cgroup", "cgroup", terms.cgroupnsMode)),
    ]
  })
}

/** Whose namespace cannot be joined, in the words Docker has for each kind. */
const notRunning = (type: string, id: string): string =>
  type === "network"
    ? `cannot join network of a non running container: ${id}`
    : `${type === "ipc" ? `can't join IPC of container ${id}: ` : ""}container ${id} is not running`

/** What was asked for; and in a network of its own, low ports and ping for everyone, as Docker. */
function sysctlsOf({ sysctls, domainname, network }: Terms): Readonly<Record<string, string>> {
  return {
    ...(isPrivate(network.mode)
      ? {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": "0 2147483647",
      }
      : {}),
    ...(domainname === "" ? {} : { "kernel.domainname": domainname }),
    ...sysctls,
  }
}

/** null in the terms: the defaults; an empty list: none. A privileged container has none. */
const pathsOf = ({ privileged, maskedPaths, readonlyPaths }: Terms) =>
  privileged ? {} : {
    maskedPaths: maskedPaths ?? MASKED_PATHS,
    readonlyPaths: readonlyPaths ?? READONLY_PATHS,
  }

const given = <T extends Readonly<Record<string, number | string | boolean>>>(limits: T) =>
  Object.fromEntries(
    Object.entries(limits).filter(([, value]) => value !== 0 && value !== "" && value !== false),
  )

/** Limits as the runtime wants them; groups with nothing in them are left out. */
export function resourcesOf(
  resources: Resources,
  cgroupVersion: 1 | 2,
): Readonly<Record<string, unknown>> {
  const groups = {
    memory: given({
      limit: resources.memory,
      reservation: resources.memoryReservation,
      // Docker's -1, as much as there is, is also what the kernel gives where nothing is said.
      swap: Math.max(resources.memorySwap, 0),
      // cgroup v2 has no such switches.
      disableOOMKiller: cgroupVersion === 1 && resources.oomKillDisable,
      ...(cgroupVersion === 1 && resources.memorySwappiness >= 0
        ? { swappiness: resources.memorySwappiness }
        : {}),
    }),
    cpu: given({
      shares: resources.cpuShares,
      quota: resources.cpuQuota,
      period: resources.cpuPeriod,
      realtimeRuntime: resources.cpuRealtimeRuntime,
      realtimePeriod: resources.cpuRealtimePeriod,
      cpus: resources.cpusetCpus,
      mems: resources.cpusetMems,
    }),
    pids: given({ limit: Math.max(resources.pids, 0) }),
    blockIO: given({ weight: resources.blkioWeight }),
  }
  return Object.fromEntries(
    Object.entries(groups).filter(([, limits]) => Object.keys(limits).length > 0),
  )
}
