import * as fs from "node:fs"
import { flag, lettered, UsageError, type Given } from "./argv.ts"

const { on, text, list } = flag

/** What `create` and `run` take, by the docker CLI's names. */
export const CREATE_FLAGS = {
  "add-host": list,
  "cap-add": list,
  "cap-drop": list,
  "cgroup-parent": text,
  cidenv: text,
  cidfile: text,
  cpus: text,
  "cpu-shares": lettered("c", text),
  "cpuset-cpus": text,
  device: list,
  dns: list,
  "dns-search": list,
  entrypoint: text,
  env: lettered("e", list),
  "env-file": list,
  expose: list,
  "group-add": list,
  "health-cmd": text,
  "health-interval": text,
  "health-retries": text,
  "health-start-period": text,
  "health-timeout": text,
  hostname: lettered("h", text),
  init: on,
  interactive: lettered("i", on),
  ipc: text,
  label: lettered("l", list),
  "log-driver": text,
  "log-opt": list,
  memory: lettered("m", text),
  "memory-reservation": text,
  "memory-swap": text,
  mount: list,
  name: text,
  network: { ...text, alias: "net" },
  "no-healthcheck": on,
  "oom-kill-disable": on,
  "oom-score-adj": text,
  pid: text,
  "pids-limit": text,
  platform: text,
  privileged: on,
  publish: lettered("p", list),
  "publish-all": lettered("P", on),
  pull: text,
  quiet: lettered("q", on),
  "read-only": on,
  restart: text,
  rm: on,
  runtime: text,
  "security-opt": list,
  "shm-size": text,
  "stop-signal": text,
  "stop-timeout": text,
  sysctl: list,
  tmpfs: list,
  tty: lettered("t", on),
  ulimit: list,
  user: lettered("u", text),
  uts: text,
  volume: lettered("v", list),
  workdir: lettered("w", text),
} as const
export type CreateGiven = Given<typeof CREATE_FLAGS>

/** How the container's streams are used by the command that creates it. */
export interface Streams {
  readonly attach: boolean
}

/** The body of `POST /containers/create` for an image, its command line and the flags. */
export function createBody(
  given: CreateGiven,
  image: string,
  command: readonly string[],
  { attach }: Streams,
): object {
  const [exposed, bindings] = ports(given.publish, given.expose)
  const binds = given.volume.filter((volume) => volume.includes(":"))
  const anonymous = given.volume.filter((volume) => !volume.includes(":"))
  return {
    Image: image,
    Cmd: command.length > 0 ? command : null,
    Entrypoint: given.entrypoint === undefined ? null : entrypoint(given.entrypoint),
    Env: [...given["env-file"].flatMap(envFile), ...given.env.flatMap(variable)],
    Hostname: given.hostname ?? "",
    User: given.user ?? "",
    WorkingDir: given.workdir ?? "",
    Labels: pairs(given.label),
    Tty: given.tty,
    OpenStdin: given.interactive,
    StdinOnce: given.interactive && attach,
    AttachStdin: given.interactive && attach,
    AttachStdout: attach,
    AttachStderr: attach,
    ExposedPorts: exposed,
    Volumes: Object.fromEntries(anonymous.map((path) => [path, {}])),
    StopSignal: given["stop-signal"],
    StopTimeout: optionalNumber("stop-timeout", given["stop-timeout"]),
    Healthcheck: healthcheck(given),
    HostConfig: {
      ...hostConfig(given),
      Binds: binds,
      PortBindings: bindings,
      Mounts: given.mount.map(mount),
    },
  }
}

function hostConfig(given: CreateGiven): object {
  return {
    AutoRemove: given.rm,
    CapAdd: given["cap-add"],
    CapDrop: given["cap-drop"],
    CgroupParent: given["cgroup-parent"] ?? "",
    ContainerIDEnv: given.cidenv,
    CpuShares: optionalNumber("cpu-shares", given["cpu-shares"]),
    CpusetCpus: given["cpuset-cpus"] ?? "",
    NanoCpus: given.cpus === undefined ? 0 : Math.round(number("cpus", given.cpus) * 1e9),
    Devices: given.device.map(device),
    Dns: given.dns,
    DnsSearch: given["dns-search"],
    ExtraHosts: given["add-host"],
    GroupAdd: given["group-add"],
    Init: given.init ? true : undefined,
    IpcMode: given.ipc ?? "",
    LogConfig: { Type: given["log-driver"] ?? "", Config: pairs(given["log-opt"]) },
    Memory: bytes("memory", given.memory),
    MemoryReservation: bytes("memory-reservation", given["memory-reservation"]),
    MemorySwap: given["memory-swap"] === "-1" ? -1 : bytes("memory-swap", given["memory-swap"]),
    NetworkMode: given.network ?? "default",
    OomKillDisable: given["oom-kill-disable"],
    OomScoreAdj: optionalNumber("oom-score-adj", given["oom-score-adj"]),
    PidMode: given.pid ?? "",
    PidsLimit: optionalNumber("pids-limit", given["pids-limit"]),
    Privileged: given.privileged,
    PublishAllPorts: given["publish-all"],
    ReadonlyRootfs: given["read-only"],
    RestartPolicy: restart(given.restart ?? "no"),
    Runtime: given.runtime,
    SecurityOpt: given["security-opt"].map(securityOption),
    ShmSize: bytes("shm-size", given["shm-size"]),
    Sysctls: pairs(given.sysctl),
    Tmpfs: Object.fromEntries(given.tmpfs.map((word) => splitOnce(word, ":"))),
    Ulimits: given.ulimit.map(ulimit),
    UTSMode: given.uts ?? "",
  }
}

const splitOnce = (word: string, mark: string): [string, string] => {
  const at = word.indexOf(mark)
  return at < 0 ? [word, ""] : [word.slice(0, at), word.slice(at + 1)]
}
const pairs = (words: readonly string[]) =>
  Object.fromEntries(words.map((word) => splitOnce(word, "=")))
const invalid = (value: string, name: string): never => {
  throw new UsageError(`invalid argument "${value}" for "--${name}" flag`)
}
const number = (name: string, value: string): number =>
  /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : invalid(value, name)
const optionalNumber = (name: string, value: string | undefined): number | undefined =>
  value === undefined ? undefined : number(name, value)

function bytes(name: string, value: string | undefined): number {
  if (value === undefined) return 0
  const pattern = /^(\d+(?:\.\d+)?)([bkmgt]?)i?b?$/i
  const [, amount, unit = ""] = pattern.exec(value) ?? invalid(value, name)
  const power = Math.max(0, ["b", "k", "m", "g", "t"].indexOf(unit.toLowerCase()))
  return Math.floor(Number(amount) * 1024 ** power)
}

const entrypoint = (word: string): string[] => (word === "" ? [""] : [word])

/** `NAME=value`; a bare NAME takes its value from here, where it has one. */
function variable(word: string): string[] {
  if (word.includes("=")) return [word]
  const value = process.env[word]
  return value === undefined ? [] : [`${word}=${value}`]
}

const envFile = (path: string): string[] =>
  fs.readFileSync(path, "utf8").split("\n")
    .map((line) => line.trimStart())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .flatMap(variable)

function restart(policy: string) {
  const [name, retries] = splitOnce(policy, ":")
  return { Name: name, MaximumRetryCount: retries === "" ? 0 : number("restart", retries) }
}

function ulimit(word: string) {
  const [name, limits] = splitOnce(word, "=")
  const [soft, hard] = splitOnce(limits, ":")
  const least = number("ulimit", soft)
  return { Name: name, Soft: least, Hard: hard === "" ? least : number("ulimit", hard) }
}

function device(word: string) {
  const [host = "", second, third] = word.split(":")
  const permissions = /^[rwm]+$/
  if (second !== undefined && third === undefined && permissions.test(second)) {
    return { PathOnHost: host, PathInContainer: host, CgroupPermissions: second }
  }
  return { PathOnHost: host, PathInContainer: second ?? host, CgroupPermissions: third ?? "rwm" }
}

/** A seccomp profile is read here and sent whole: the daemon may not see this file. */
function securityOption(word: string): string {
  const [name, value] = splitOnce(word, "=")
  if (name !== "seccomp" || value === "unconfined" || value === "builtin") return word
  return `seccomp=${JSON.stringify(JSON.parse(fs.readFileSync(value, "utf8")))}`
}

/** The names of `--mount`'s fields that mean the same. */
const MOUNT_FIELDS: Readonly<Record<string, string>> = {
  src: "source", dst: "target", destination: "target", ro: "readonly",
}

function mount(word: string): object {
  const fields: Record<string, string> = Object.fromEntries(word.split(",").map((field) => {
    const [name, value] = splitOnce(field, "=")
    return [MOUNT_FIELDS[name] ?? name, value]
  }))
  if (fields["target"] === undefined) throw new UsageError(`invalid mount: ${word}: no target`)
  const readonly = fields["readonly"]
  const propagation = fields["bind-propagation"]
  const size = fields["tmpfs-size"]
  const mode = fields["tmpfs-mode"]
  return {
    Type: fields["type"] ?? "volume",
    Source: fields["source"] ?? "",
    Target: fields["target"],
    ReadOnly: readonly === "" || readonly === "true" || readonly === "1",
    ...(propagation !== undefined && { BindOptions: { Propagation: propagation } }),
    ...((size ?? mode) !== undefined && {
      TmpfsOptions: {
        SizeBytes: bytes("mount", size),
        Mode: mode === undefined ? undefined : Number.parseInt(mode, 8),
      },
    }),
  }
}

const UNITS_NS: Readonly<Record<string, number>> = {
  ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9,
}

/** Reads a Go duration, `1m30s`, as nanoseconds. */
export function duration(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  if (!/^(\d+(\.\d+)?(ns|us|ms|s|m|h))+$/.test(value)) return invalid(value, name)
  return [...value.matchAll(/([\d.]+)(ns|us|ms|s|m|h)/g)]
    .reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNITS_NS[unit ?? ""] ?? 0), 0)
}

function healthcheck(given: CreateGiven): object | undefined {
  if (given["no-healthcheck"]) return { Test: ["NONE"] }
  const command = given["health-cmd"]
  const check = {
    Test: command === undefined ? undefined : ["CMD-SHELL", command],
    Interval: duration("health-interval", given["health-interval"]),
    Timeout: duration("health-timeout", given["health-timeout"]),
    StartPeriod: duration("health-start-period", given["health-start-period"]),
    Retries: optionalNumber("health-retries", given["health-retries"]),
  }
  return Object.values(check).some((value) => value !== undefined) ? check : undefined
}

type Bindings = Record<string, { HostIp: string; HostPort: string }[]>

/** `[ip:][host port:]port[/protocol]`, each port perhaps a range. */
const PUBLISH = /^(?:(?:(\[[^\]]+\]|[\d.]*):)?(\d*(?:-\d+)?):)?(\d+)(?:-(\d+))?(?:\/(tcp|udp))?$/

/** Reads -p and --expose as the two tables of a create body. */
export function ports(
  publish: readonly string[],
  expose: readonly string[],
): readonly [exposed: Record<string, object>, bindings: Bindings] {
  const bindings: Bindings = {}
  const exposed: Record<string, object> = {}
  for (const word of expose) exposed[word.includes("/") ? word : `${word}/tcp`] = {}
  for (const word of publish) {
    const [, ip = "", host = "", first, last = first, protocol = "tcp"] = PUBLISH.exec(word)
      ?? invalid(word, "publish")
    const [hostFirst = "", hostLast = hostFirst] = host.split("-")
    const length = Number(last) - Number(first)
    const hostLength = Number(hostLast) - Number(hostFirst)
    const fits = length >= 0 && (host === "" || hostLength === length || length === 0)
    if (!fits) invalid(word, "publish")
    for (let at = 0; at <= length; at += 1) {
      const port = `${Number(first) + at}/${protocol}`
      const hostPort = length === 0 ? host : host === "" ? "" : String(Number(hostFirst) + at)
      exposed[port] = {}
      bindings[port] = [
        ...(bindings[port] ?? []),
        { HostIp: ip.replace(/^\[|\]$/g, ""), HostPort: hostPort },
      ]
    }
  }
  return [exposed, bindings]
}
