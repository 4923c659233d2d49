import * as Result from "effect/Result"
import { logLimits } from "../../engine/log-limits.ts"
import { containerCapabilities } from "../../oci/capabilities.ts"
import { parseDeviceRule } from "../../oci/devices.ts"
import { parseProfile } from "../../oci/seccomp.ts"
import { RESTART_POLICIES, type RestartPolicy, type Terms } from "../../oci/terms.ts"
import { invalid, notYet } from "../faults.ts"
import type { Defaults } from "./defaults.ts"
import type { Config, HostConfig, RestartPolicy as RestartAsked } from "./docker.ts"

/** Reads and checks a restart policy; nothing said is `no`. */
export function restartOf(asked: typeof RestartAsked.Type | undefined): Terms["restart"] {
  const { Name: name = "", MaximumRetryCount: retries = 0 } = asked ?? {}
  const policy = name === "" ? "no" : name
  if (!RESTART_POLICIES.includes(policy as RestartPolicy)) {
    throw invalid(`invalid restart policy '${name}'`)
  }
  if (policy !== "on-failure" && retries !== 0) {
    throw invalid(`maximum retry count cannot be used with restart policy '${policy}'`)
  }
  if (retries < 0) throw invalid("maximum retry count cannot be negative")
  return { policy: policy as RestartPolicy, retries }
}

const LOG_ROTATION = ["max-size", "max-file", "compress"]
const LOG_ATTRIBUTES = ["labels", "labels-regex", "env", "env-regex", "tag"]
/** Options of each log driver; those every driver takes are added. */
const LOG_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  "json-file": [...LOG_ROTATION, ...LOG_ATTRIBUTES],
  local: LOG_ROTATION,
  journald: LOG_ATTRIBUTES,
  none: [...LOG_ROTATION, ...LOG_ATTRIBUTES],
}
const LOG_COMMON = ["mode", "max-buffer-size"]

/** The log driver and its options: what is asked, else the engine's. */
export function logOf(asked: HostConfig["LogConfig"], defaults: Defaults): Terms["log"] {
  const driver = asked?.Type || defaults.logDriver
  const options = { ...(asked?.Type ? {} : defaults.logOptions), ...asked?.Config }
  const known = LOG_OPTIONS[driver]
  if (known === undefined) {
    throw invalid(`error looking up logging plugin ${driver}: plugin "${driver}" not found`)
  }
  for (const name of Object.keys(options)) {
    if (!known.includes(name) && !LOG_COMMON.includes(name)) {
      throw invalid(`unknown log opt '${name}' for ${driver} log driver`)
    }
  }
  const { mode = "blocking" } = options
  if (mode !== "blocking" && mode !== "non-blocking") {
    throw invalid(`logger: logging mode not supported: ${mode}`)
  }
  const limits = logLimits({ driver, options })
  if (Result.isFailure(limits)) {
    throw invalid(`failed to initialize logging driver: ${limits.failure}`)
  }
  return { driver, options }
}

interface Security {
  readonly noNewPrivileges: boolean
  readonly seccomp: string
}

/** Reads `SecurityOpt`: `no-new-privileges`, `seccomp=unconfined`, `seccomp={…}`, `label=…`. */
export function securityOf(host: HostConfig, defaults: Defaults): Security {
  let security: Security = {
    noNewPrivileges: defaults.noNewPrivileges,
    seccomp: defaults.seccompProfile || "default",
  }
  for (const text of host.SecurityOpt ?? []) {
    if (text === "no-new-privileges") {
      security = { ...security, noNewPrivileges: true }
      continue
    }
    const match = /^([^=:]+)[=:](.*)$/s.exec(text)
    if (match === null) throw invalid(`invalid --security-opt 1: ${JSON.stringify(text)}`)
    const [, name, value = ""] = match
    if (name === "seccomp") security = { ...security, seccomp: seccompOf(value) }
    else if (name === "no-new-privileges" && /^(true|false|1|0)$/i.test(value)) {
      security = { ...security, noNewPrivileges: /^(true|1)$/i.test(value) }
    } else if (name !== "apparmor" && name !== "label" && name !== "writable-cgroups") {
      throw invalid(`invalid --security-opt 2: ${JSON.stringify(text)}`)
    }
  }
  return security
}

function seccompOf(value: string): string {
  if (value === "unconfined") return value
  if (value === "" || value === "builtin" || value === "default") return "default"
  const profile = parseProfile(value)
  if (Result.isFailure(profile)) {
    throw invalid(`Decoding seccomp profile failed: ${profile.failure.cause}`)
  }
  return value
}

const NETWORKS = ["none", "host", "bridge"]

/** Finds a container by name or ID; null: there is none. */
export type Resolve = (name: string) => string | null

/** Whose namespace a mode names: `container:<name>` with the name as its ID. */
function joined(mode: string, what: string, resolve: Resolve): string {
  const name = mode.slice("container:".length)
  if (name === "") {
    throw invalid(`Invalid ${what} mode: invalid container format container:<name|id>`)
  }
  const id = resolve(name)
  if (id === null) throw invalid(`No such container: ${name}`)
  return `container:${id}`
}

/** The network a container is on, in this engine's words. */
export function networkModeOf(host: HostConfig, resolve: Resolve): string {
  const asked = host.NetworkMode ?? ""
  const mode = asked === "" || asked === "default" ? "bridge" : asked
  if (mode.startsWith("container:")) return joined(mode, "network", resolve)
  // Not 404: the CLI would take it for an image that is missing, and pull.
  if (!NETWORKS.includes(mode)) throw invalid(`network ${mode} not found`)
  return mode
}

/** What cannot be asked for together with a network or UTS mode. */
export function checkNetwork(config: Config, host: HostConfig): void {
  const asked = host.NetworkMode ?? ""
  const conflict = (what: string) => invalid(`conflicting options: ${what}`)
  const hasHostname = (config.Hostname ?? "") !== ""
  if (host.UTSMode === "host" && hasHostname) throw conflict("hostname and the UTS mode")
  if ((host.Links ?? []).length > 0) {
    if (asked === "host") {
      throw conflict(
        "host type networking can't be used with links. This would result in undefined behavior",
      )
    }
    throw notYet("linking containers")
  }
  if (!asked.startsWith("container:")) return
  if (hasHostname) throw conflict("hostname and the network mode")
  if ((host.Dns ?? []).length > 0) throw conflict("dns and the network mode")
  if ((host.ExtraHosts ?? []).length > 0) {
    throw conflict("custom host-to-IP mapping and the network mode")
  }
  if ((config.MacAddress ?? "") !== "") throw conflict("mac-address and the network mode")
  if (Object.keys(host.PortBindings ?? {}).length > 0 || host.PublishAllPorts === true) {
    throw conflict("port publishing and the container type network mode")
  }
  if (Object.keys(config.ExposedPorts ?? {}).length > 0) {
    throw conflict("port exposing and the container type network mode")
  }
}

const IP = /^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$/

export function checkHosts(host: HostConfig): void {
  for (const entry of host.ExtraHosts ?? []) {
    const match = /^([^:=]+)[:=](.+)$/.exec(entry)
    if (match === null) throw invalid(`bad format for add-host: ${JSON.stringify(entry)}`)
    const ip = match[2]!.replace(/^\[(.*)\]$/, "$1")
    if (ip !== "host-gateway" && !IP.test(ip)) {
      throw invalid(`invalid IP address in add-host: ${JSON.stringify(ip)}`)
    }
  }
  for (const address of host.Dns ?? []) {
    if (!IP.test(address)) throw invalid(`invalid IP address: ${address}`)
  }
}

/** Namespaces: `private`, `host` or `container:<id>`; for IPC `none` too. */
export function modesOf(host: HostConfig, resolve: Resolve, defaults: Defaults) {
  const mode = (asked: string, what: string, kinds: Readonly<Record<string, string>>): string => {
    if (asked.startsWith("container:") && what !== "UTS") return joined(asked, what, resolve)
    const known = kinds[asked]
    if (known === undefined) throw invalid(`invalid ${what} mode: ${asked}`)
    return known
  }
  const plain = { "": "private", private: "private", host: "host" }
  if (!["", "host"].includes(host.UsernsMode ?? "")) {
    throw invalid(`invalid userns mode: ${host.UsernsMode}`)
  }
  return {
    pidMode: mode(host.PidMode ?? "", "PID", plain),
    ipcMode: mode(host.IpcMode ?? "", "IPC", { ...plain, none: "none", shareable: "shareable" }),
    utsMode: mode(host.UTSMode ?? "", "UTS", plain),
    cgroupnsMode: cgroupnsOf(host, defaults),
  }
}

/**
 * Whether a container sees all control groups or its own alone: asked, set, or Docker's default.
 */
export function cgroupnsOf(host: HostConfig, defaults: Defaults): "private" | "host" {
  const { CgroupnsMode: asked = "" } = host
  if (asked === "private" || asked === "host") return asked
  if (asked !== "") throw invalid(`invalid cgroup namespace mode: ${asked}`)
  if (host.Privileged === true) return "host"
  if (defaults.cgroupnsMode !== null) return defaults.cgroupnsMode
  return defaults.cgroupVersion === 1 ? "host" : "private"
}

/** All else that a `HostConfig` can say wrongly. */
export function checkHost(host: HostConfig, defaults: Defaults): void {
  const restart = restartOf(host.RestartPolicy)
  if (host.AutoRemove === true && restart.policy !== "no") {
    throw invalid("can't create 'AutoRemove' container with restart policy")
  }
  if ((host.ShmSize ?? 0) < 0) throw invalid("SHM size can not be less than 0")
  const oom = host.OomScoreAdj ?? 0
  if (oom < -1000 || oom > 1000) {
    throw invalid(`Invalid value ${oom}, range for oom score adj is [-1000, 1000]`)
  }
  const { Runtime: runtime = "", Isolation: isolation = "" } = host
  if (runtime !== "" && !defaults.runtimes.includes(runtime)) {
    throw invalid(`Unknown runtime specified ${runtime}`)
  }
  if (isolation !== "" && isolation !== "default") {
    throw invalid(`Invalid isolation: "${isolation}" - linux only supports 'default'`)
  }
  for (const name of Object.keys(host.StorageOpt ?? {})) throw invalid(`Unknown option ${name}`)
  const capabilities = containerCapabilities(
    { privileged: false, capAdd: host.CapAdd ?? [], capDrop: host.CapDrop ?? [] },
    [],
  )
  if (Result.isFailure(capabilities)) throw invalid(capabilities.failure.cause)
  for (const rule of host.DeviceCgroupRules ?? []) {
    const parsed = parseDeviceRule(rule)
    if (Result.isFailure(parsed)) throw invalid(parsed.failure.cause)
  }
  for (const { CgroupPermissions: permissions = "rwm" } of host.Devices ?? []) {
    if (!/^[rwm]*$/.test(permissions)) throw invalid(`invalid device permissions: ${permissions}`)
  }
}
