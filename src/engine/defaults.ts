import { cgroupVersion, hostName, textOf } from "../kernel/machine.ts"
import { exists } from "../kernel/presence.ts"
import { machineReport } from "../kernel/resources.ts"
import type { Ulimit } from "../oci/terms.ts"
import type { Settings } from "../settings.ts"

/** What of this machine and of the engine's settings decides how a request is completed. */
export interface Defaults {
  readonly logDriver: string
  readonly logOptions: Readonly<Record<string, string>>
  /** Names a client may ask for; the first is what it gets without asking. */
  readonly runtimes: readonly string[]
  readonly shmBytes: number
  readonly ipcMode: string
  /** Null: as Docker has it, by the version of the control groups. */
  readonly cgroupnsMode: "private" | "host" | null
  readonly cgroupVersion: 1 | 2
  /** Can the kernel favour one container's block I/O over another's? */
  readonly weighsBlockIo: boolean
  readonly init: boolean
  readonly noNewPrivileges: boolean
  /** The text of the profile a container gets that asks for none; empty: the built-in one. */
  readonly seccompProfile: string
  readonly ulimits: readonly Ulimit[]
  /** How many processors, and which: `0-3`. */
  readonly cpus: number
  readonly cpuset: string
  readonly memoryNodes: string
  /** The host's own name: what a container on the host's network is called. */
  readonly hostname: string
}

/** `bare` is no runtime: balenaOS only ever creates such a container, as a root file system. */
const RUNTIMES = ["runc", "crun", "io.containerd.runc.v2", "io.containerd.runtime.v1.linux", "bare"]

/** The defaults on this machine, under these settings. */
export const defaultsOf = (settings: Settings): Defaults => {
  const { cpus } = machineReport()
  const { defaultRuntime, runtimes } = settings
  return {
    logDriver: settings.logDriver,
    logOptions: settings.logOpts,
    runtimes: [...new Set([defaultRuntime, ...RUNTIMES, ...Object.keys(runtimes)])],
    shmBytes: settings.defaultShmBytes,
    ipcMode: settings.defaultIpcMode,
    cgroupnsMode: cgroupnsOf(settings.defaultCgroupnsMode),
    cgroupVersion: cgroupVersion(),
    weighsBlockIo: cgroupVersion() === 2 || exists("/sys/fs/cgroup/blkio/blkio.weight"),
    init: settings.init,
    noNewPrivileges: settings.noNewPrivileges,
    seccompProfile: seccompOf(settings.seccompProfile),
    ulimits: Object.entries(settings.defaultUlimits).map(([name, limits]) => ({ name, ...limits })),
    cpus,
    cpuset: textOf("/sys/devices/system/cpu/online")?.trim() || `0-${cpus - 1}`,
    memoryNodes: textOf("/sys/devices/system/node/online")?.trim() || "0",
    hostname: hostName(),
  }
}

const cgroupnsOf = (mode: string) => mode === "private" || mode === "host" ? mode : null

const seccompOf = (path: string): string =>
  path === "" || path === "builtin" || path === "default"
    ? ""
    : path === "unconfined"
    ? path
    : textOf(path) ?? ""
