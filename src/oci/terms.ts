/**
 * What a container was created with, in this engine's words: complete (image and request merged,
 * defaults filled in), so that starting it needs nothing else but what its image's layers are.
 * Docker's JSON becomes this in `src/api`, once; a runtime spec is reckoned from it in `spec.ts`.
 */
export interface Terms {
  /** The command line: entrypoint and command, joined. Never empty. */
  readonly args: readonly string[]
  /**
   * `NAME=value`, the image's below the request's; PATH, HOSTNAME and TERM are added by the spec.
   */
  readonly env: readonly string[]
  readonly cwd: string
  /** As given: `name`, `uid`, `name:group`, `uid:gid` or empty for root. Resolved in the rootfs. */
  readonly user: string
  readonly groups: readonly string[]
  readonly hostname: string
  readonly domainname: string
  readonly terminal: boolean
  readonly stdin: boolean
  /** Close stdin after the first attached client leaves. */
  readonly stdinOnce: boolean
  /** `SIGTERM`, or a number as text. */
  readonly stopSignal: string
  /** How long a stop waits before SIGKILL; null: the engine's default of 10 s. */
  readonly stopTimeoutS: number | null
  readonly readonlyRootfs: boolean
  readonly privileged: boolean
  readonly init: boolean
  readonly capAdd: readonly string[]
  readonly capDrop: readonly string[]
  /** `default`, `unconfined`, or the JSON text of a profile. */
  readonly seccomp: string
  readonly noNewPrivileges: boolean
  readonly maskedPaths: readonly string[] | null
  readonly readonlyPaths: readonly string[] | null
  readonly devices: readonly Device[]
  readonly deviceCgroupRules: readonly string[]
  readonly ulimits: readonly Ulimit[]
  readonly sysctls: Readonly<Record<string, string>>
  readonly oomScoreAdj: number
  /** Bytes of /dev/shm. */
  readonly shmBytes: number
  readonly mounts: readonly MountTerm[]
  /** Paths that the image or the request calls volumes: directories of the container's own. */
  readonly volumes: readonly string[]
  readonly resources: Resources
  readonly network: NetworkTerms
  /** `private`, `host` or `container:<id>`; IPC may be `none`, or `shareable`: with others. */
  readonly pidMode: string
  readonly ipcMode: string
  readonly utsMode: string
  /** `private` or `host`. */
  readonly cgroupnsMode: string
  readonly cgroupParent: string
  readonly restart: { readonly policy: RestartPolicy; readonly retries: number }
  readonly autoRemove: boolean
  readonly log: { readonly driver: string; readonly options: Readonly<Record<string, string>> }
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

export const RESTART_POLICIES = ["no", "always", "on-failure", "unless-stopped"] as const
export type RestartPolicy = (typeof RESTART_POLICIES)[number]

export interface Device {
  readonly hostPath: string
  readonly path: string
  /** Of `rwm`. */
  readonly permissions: string
}

export interface Ulimit {
  readonly name: string
  readonly soft: number
  readonly hard: number
}

/** A mount beside the standard ones. `bind`: source is a host path. */
export interface MountTerm {
  readonly kind: "bind" | "tmpfs"
  readonly source: string
  readonly target: string
  readonly readonly: boolean
  /** `rprivate`, `rslave`, `rshared`, … */
  readonly propagation: string
  /** For tmpfs: `size=64m,mode=1777` split; for bind: what was given beside ro and propagation. */
  readonly options: readonly string[]
  /** Make the source if it is missing (the short `-v` syntax), instead of refusing. */
  readonly create: boolean
}

/** Limits; 0 (or empty) means none. */
export interface Resources {
  readonly memory: number
  readonly memorySwap: number
  readonly memoryReservation: number
  /** 0 to 100; -1: the kernel's own. */
  readonly memorySwappiness: number
  readonly oomKillDisable: boolean
  readonly cpuShares: number
  readonly cpuPeriod: number
  readonly cpuQuota: number
  readonly cpuRealtimePeriod: number
  readonly cpuRealtimeRuntime: number
  readonly cpusetCpus: string
  readonly cpusetMems: string
  readonly pids: number
  readonly blkioWeight: number
}

export interface NetworkTerms {
  /** `none`, `host`, `bridge`, or `container:<id>`. */
  readonly mode: string
  readonly ports: readonly Port[]
  readonly dns: readonly string[]
  readonly dnsSearch: readonly string[]
  readonly dnsOptions: readonly string[]
  readonly extraHosts: readonly string[]
}

/**
 * A port published on the host. `hostPort` 0: any free one; `hostPortLast`: one from `hostPort` to
 * it; `hostIp` empty: every address.
 */
export interface Port {
  readonly port: number
  readonly protocol: "tcp" | "udp"
  readonly hostIp: string
  readonly hostPort: number
  readonly hostPortLast?: number
}
