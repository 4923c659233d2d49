import { MASKED_PATHS, READONLY_PATHS } from "../../oci/spec.ts"
import type { Terms } from "../../oci/terms.ts"
import { conflict, invalid } from "../faults.ts"
import type { Defaults, ImageAsked } from "./defaults.ts"
import type { Config, CreateBody, HostConfig, NetworkingConfig } from "./docker.ts"
import { checkLimits, limitsOf, swapOf, ulimitsOf } from "./limits.ts"
import { checkConfig, mergeConfig } from "./merge.ts"
import { mountsOf } from "./mounts.ts"
import {
  cgroupnsOf,
  checkHost,
  checkHosts,
  checkNetwork,
  logOf,
  modesOf,
  networkModeOf,
  type Resolve,
  restartOf,
  securityOf,
} from "./options.ts"
import { portOf, portsOf } from "./ports.ts"
import { signalName } from "./signals.ts"

/**
 * What a client is given back of its container: its own words, completed by the image and by what
 * was decided at creation. Members nobody spoke of are left out; inspect adds Docker's defaults.
 */
export interface Given {
  readonly Config: Config
  readonly HostConfig: HostConfig
  readonly NetworkingConfig: NetworkingConfig
}

/** A container as agreed: how it is run, what its client sees, and what the client is warned of. */
export interface Agreement {
  readonly terms: Terms
  readonly given: Given
  readonly warnings: readonly string[]
}

/** Refuses what is wrong whatever the image: Docker says so before it looks for the image. */
export function checkBody(body: CreateBody, defaults: Defaults): void {
  if (Object.keys(body).length === 0) {
    throw invalid("Config cannot be empty in order to create a container")
  }
  const host = body.HostConfig ?? {}
  checkConfig(body)
  checkNetwork(body, host)
  checkHosts(host)
  checkHost(host, defaults)
  checkLimits(host, defaults)
  const networks = Object.keys(body.NetworkingConfig?.EndpointsConfig ?? {})
  const endpoints = Object.values(body.NetworkingConfig?.EndpointsConfig ?? {})
  for (const { IPAMConfig: config } of endpoints) {
    if (config?.IPv4Address || config?.IPv6Address) {
      throw invalid("user specified IP address is supported on user defined networks only")
    }
  }
  if (networks.length > 1) {
    const names = networks.join(", ")
    throw invalid(`Container cannot be connected to network endpoints: ${names}`)
  }
}

/**
 * Completes a checked request with its image and the engine's defaults. `resolve` finds the
 * containers it names. Throws `ApiFault` where the whole makes no sense.
 */
export function agree(
  body: CreateBody,
  image: ImageAsked,
  id: string,
  defaults: Defaults,
  resolve: Resolve,
): Agreement {
  const { HostConfig: host = {}, NetworkingConfig: networking = {}, ...asked } = body
  const merged = mergeConfig(asked, image.defaults)
  const args = [...(merged.Entrypoint ?? []), ...(merged.Cmd ?? [])]
  if (args.length === 0) throw invalid("No command specified")
  const config = { ...merged, ...identity(merged, host, id, defaults), Image: image.name }
  const given: Given = {
    Config: withIdVariable(config, host, id),
    HostConfig: decided(host, defaults),
    NetworkingConfig: networking,
  }
  const mounts = mountsOf(given.Config, given.HostConfig)
  const terms = termsOf(given, args, mounts, resolve, defaults)
  return { terms, given: pinned(given, terms), warnings: warningsOf(given, host, mounts.volumes) }
}

/** Another's network is kept by its ID: its name may go to someone else. */
function pinned(given: Given, { network: { mode } }: Terms): Given {
  if (!mode.startsWith("container:")) return given
  return { ...given, HostConfig: { ...given.HostConfig, NetworkMode: mode } }
}

/** One that was given no name is called by its short ID; on the host's network, as the host. */
function identity(config: Config, host: HostConfig, id: string, defaults: Defaults) {
  const shared = host.NetworkMode === "host"
  return { Hostname: config.Hostname || (shared ? defaults.hostname : id.slice(0, 12)) }
}

/** balenaEngine's `ContainerIDEnv`: the container learns its own ID from this variable. */
function withIdVariable(config: Config, host: HostConfig, id: string): Config {
  const name = host.ContainerIDEnv ?? ""
  if (name === "") return config
  const env = config.Env ?? []
  if (env.some((entry) => entry.startsWith(name))) {
    throw conflict(`Error environment variable ${name} already defined`)
  }
  return { ...config, Env: [...env, `${name}=${id}`] }
}

/** What is settled at creation, so that a later start or another default changes nothing. */
function decided(host: HostConfig, defaults: Defaults): HostConfig {
  const log = logOf(host.LogConfig, defaults)
  const restart = restartOf(host.RestartPolicy)
  const { MaskedPaths: masked, ReadonlyPaths: readonly, ...rest } = withoutVain(host, defaults)
  const privileged = host.Privileged === true
  return {
    ...rest,
    LogConfig: { Type: log.driver, Config: log.options },
    RestartPolicy: host.RestartPolicy ??
      { Name: restart.policy, MaximumRetryCount: restart.retries },
    NetworkMode: host.NetworkMode || "default",
    IpcMode: host.IpcMode || defaults.ipcMode,
    CgroupnsMode: cgroupnsOf(host, defaults),
    ShmSize: host.ShmSize || defaults.shmBytes,
    Runtime: host.Runtime || defaults.runtimes[0]!,
    MemorySwap: swapOf(host),
    ...(privileged ? {} : {
      MaskedPaths: masked ?? MASKED_PATHS,
      ReadonlyPaths: readonly ?? READONLY_PATHS,
    }),
    ...(host.Init === undefined && defaults.init ? { Init: true } : {}),
  }
}

/** Without limits that say nothing, and one that this kernel does not have. */
function withoutVain(host: HostConfig, { weighsBlockIo }: Defaults): HostConfig {
  const { PidsLimit: pids = 0, MemorySwappiness: swappiness = -1, BlkioWeight, ...rest } = host
  return {
    ...rest,
    ...(pids > 0 ? { PidsLimit: pids } : {}),
    ...(swappiness >= 0 ? { MemorySwappiness: swappiness } : {}),
    ...(weighsBlockIo && BlkioWeight !== undefined ? { BlkioWeight } : {}),
  }
}

function termsOf(
  { Config: config, HostConfig: host }: Given,
  args: readonly string[],
  mounts: ReturnType<typeof mountsOf>,
  resolve: Resolve,
  defaults: Defaults,
): Terms {
  const network = networkModeOf(host, resolve)
  return {
    args,
    env: config.Env ?? [],
    cwd: config.WorkingDir || "/",
    user: config.User ?? "",
    groups: host.GroupAdd ?? [],
    hostname: config.Hostname ?? "",
    domainname: config.Domainname ?? "",
    terminal: config.Tty ?? false,
    stdin: config.OpenStdin ?? false,
    stdinOnce: config.StdinOnce ?? false,
    stopSignal: signalName(config.StopSignal || "SIGTERM"),
    stopTimeoutS: config.StopTimeout ?? null,
    readonlyRootfs: host.ReadonlyRootfs ?? false,
    privileged: host.Privileged ?? false,
    init: host.Init ?? false,
    capAdd: host.CapAdd ?? [],
    capDrop: host.CapDrop ?? [],
    ...securityOf(host, defaults),
    maskedPaths: host.MaskedPaths ?? null,
    readonlyPaths: host.ReadonlyPaths ?? null,
    devices: (host.Devices ?? []).map((device) => ({
      hostPath: device.PathOnHost ?? "",
      path: device.PathInContainer || (device.PathOnHost ?? ""),
      permissions: device.CgroupPermissions || "rwm",
    })),
    deviceCgroupRules: host.DeviceCgroupRules ?? [],
    ulimits: ulimitsOf(host, defaults),
    sysctls: host.Sysctls ?? {},
    oomScoreAdj: host.OomScoreAdj ?? 0,
    shmBytes: host.ShmSize ?? defaults.shmBytes,
    mounts: mounts.terms,
    volumes: mounts.volumes,
    resources: limitsOf(host),
    network: {
      mode: network,
      ports: portsOf(config, host),
      dns: host.Dns ?? [],
      dnsSearch: host.DnsSearch ?? [],
      dnsOptions: host.DnsOptions ?? [],
      extraHosts: host.ExtraHosts ?? [],
    },
    ...modesOf(host, resolve, defaults),
    cgroupParent: host.CgroupParent ?? "",
    restart: restartOf(host.RestartPolicy),
    autoRemove: host.AutoRemove ?? false,
    log: logOf(host.LogConfig, defaults),
    labels: config.Labels ?? {},
    annotations: { ...imageAnnotations(config.Labels ?? {}), ...host.Annotations },
  }
}

const NO_OOM_KILLER = "OOM killer is disabled for the container, but no memory limit is set, "
  + "this can result in the system running out of resources."
const NO_WEIGHT = "Your kernel does not support Block I/O weight or the cgroup is not mounted. "
  + "Weight discarded."

/** Labels that balenaOS's runtimes read from the runtime spec. */
const imageAnnotations = (labels: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(labels).filter(([name]) => name.startsWith("io.balena.image.")))

function warningsOf(given: Given, asked: HostConfig, volumes: readonly string[]): string[] {
  const { Config: config, HostConfig: host } = given
  for (const port of Object.keys(config.ExposedPorts ?? {})) portOf(port)
  const isHost = host.NetworkMode === "host"
  const publishes = Object.keys(host.PortBindings ?? {}).length > 0
  const weightless = (asked.BlkioWeight ?? 0) > 0 && host.BlkioWeight === undefined
  return [
    ...(host.OomKillDisable === true && (host.Memory ?? 0) === 0 ? [NO_OOM_KILLER] : []),
    ...(weightless ? [NO_WEIGHT] : []),
    ...(isHost && publishes
      ? ["Published ports are discarded when using host network mode"]
      : []),
    ...volumes.map((path) =>
      `The volume ${path} is kept in the container itself: `
      + "volumes are not supported by this engine yet."
    ),
  ]
}
