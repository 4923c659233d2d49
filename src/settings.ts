import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { fault, helpText, readArgv, SettingsFault, type Argv, type Given } from "./settings/argv.ts"
import { LEFT_OUT, OPTIONS, type Option } from "./settings/options.ts"
import { contains, toBytes, toHost, type Host } from "./settings/values.ts"

export { SettingsFault } from "./settings/argv.ts"
export type { Host } from "./settings/values.ts"

type Options = typeof OPTIONS
type Plain = { readonly [Name in keyof Options]: Options[Name]["fallback"] }

/** All that can be set, validated, with defaults filled in. Empty text: not set. */
export interface Settings extends Omit<Plain, "hosts" | "defaultShmSize"> {
  /** Where the API listens; never empty. */
  readonly hosts: readonly Host[]
  readonly defaultShmBytes: number
  readonly cgroupDriver: "cgroupfs" | "systemd"
  /** What was asked for and has no effect here, in words for the log. */
  readonly notes: readonly string[]
}

/** What the daemon's command line asks for. */
export type Request =
  | { readonly action: "run"; readonly settings: Settings }
  | { readonly action: "help"; readonly text: string }
  | { readonly action: "version" }

/** Reads a whole file as text; null where there is none. Everything else is thrown. */
export type ReadFile = (path: string) => string | null

export const DEFAULT_CONFIG_FILE = "/etc/balena-engine/daemon.json"
export const DEFAULT_HOST = "unix:///var/run/balena-engine.sock"
export const DEFAULTS = { dataRoot: OPTIONS.dataRoot.fallback } as const
const RUNTIMES = ["runc", "crun", "io.containerd.runc.v2", "io.containerd.runtime.v1.linux"]

/** What SIGHUP may change while running; all else keeps its value until a restart. */
export const RELOADABLE = [
  "debug", "labels", "insecureRegistries", "registryMirrors",
] as const satisfies readonly (keyof Settings)[]

const NAMES = Object.entries(OPTIONS) as [keyof Options, Option<unknown>][]
const KEYS = new Set([...NAMES.map(([, { key }]) => key), ...LEFT_OUT.map(({ key }) => key)])
/** dockerd lets runtimes stand in both places, and joins them. */
const JOINED = "runtimes"

/** Reads the command line and daemon.json into settings, or says what is wrong with them. */
export const readSettings = (
  words: readonly string[],
  readFile: ReadFile,
): Result.Result<Request, SettingsFault> =>
  Result.gen(function*() {
    const argv = yield* readArgv(words)
    if (argv.action === "help") return { action: "help" as const, text: helpText() }
    if (argv.action === "version") return { action: "version" as const }
    const file = yield* readConfigFile(argv, readFile)
    return { action: "run" as const, settings: yield* validate(merge(argv.given, file)) }
  })

/** What SIGHUP makes of `before`: all is read and checked again, the reloadable part taken. */
export const reloadSettings = (
  before: Settings,
  words: readonly string[],
  readFile: ReadFile,
): Result.Result<Settings, SettingsFault> =>
  Result.map(readSettings(words, readFile), (request) => {
    if (request.action !== "run") return before
    const { settings } = request
    const changed = Object.fromEntries(RELOADABLE.map((name) => [name, settings[name]]))
    return { ...before, ...changed }
  })

function readConfigFile(argv: Argv, readFile: ReadFile): Result.Result<Given, SettingsFault> {
  const path = argv.configFile ?? DEFAULT_CONFIG_FILE
  const wrong = (cause: string) =>
    fault(`unable to configure the balenaEngine daemon with file ${path}: ${cause}`)
  let text: string | null
  let json: unknown
  try {
    text = readFile(path)
    if (text === null) {
      return argv.configFile === null
        ? Result.succeed(new Map())
        : wrong(`open ${path}: no such file or directory`)
    }
    json = text.trim() === "" ? {} : JSON.parse(text)
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error))
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    return wrong("it must hold one JSON object")
  }
  const file: Given = new Map(Object.entries(json))
  const unknown = [...file.keys()].filter((key) => !KEYS.has(key))
  if (unknown.length > 0) {
    const keys = unknown.sort().join(", ")
    return wrong(`the following directives don't match any configuration option: ${keys}`)
  }
  const twice = [...file].filter(([key]) => argv.given.has(key) && key !== JOINED)
  if (twice.length > 0) {
    const each = twice.map(([key, value]) =>
      `${key}: (from flag: ${shown(argv.given.get(key))}, from file: ${shown(value)})`)
    return wrong("the following directives are specified both as a flag and in the configuration "
      + `file: ${each.join(", ")}`)
  }
  return Result.succeed(file)
}

/** A value as Go prints it: `[a b]`, `map[a:b]`. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(shown).join(" ")}]`
  if (typeof value !== "object" || value === null) return String(value)
  const pairs = Object.entries(value).map(([name, item]) => `${name}:${shown(item)}`)
  return `map[${pairs.join(" ")}]`
}

function merge(flags: Given, file: Given): Given {
  const given: Given = new Map([...file, ...flags])
  const inFile = file.get(JOINED)
  const inFlags = flags.get(JOINED)
  if (inFile !== undefined && inFlags !== undefined) {
    given.set(JOINED, { ...Object(inFile), ...Object(inFlags) })
  }
  return given
}

/** Go matches keys of nested objects whatever their case; so `Soft` and `soft` are one. */
const nestedLower = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(lowerKeys)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, lowerKeys(item)]))
}
const lowerKeys = (value: unknown): unknown =>
  typeof value !== "object" || value === null || Array.isArray(value) ? value
    : Object.fromEntries(Object.entries(value).map(([name, item]) => [name.toLowerCase(), item]))

function validate(given: Given): Result.Result<Settings, SettingsFault> {
  const values: Record<string, unknown> = {}
  for (const [name, { key, schema, fallback }] of NAMES) {
    if (!given.has(key)) {
      values[name] = fallback
      continue
    }
    const decoded = Schema.decodeUnknownResult(schema)(nestedLower(given.get(key)))
    if (Result.isFailure(decoded)) {
      const [why = ""] = decoded.failure.message.split("\n")
      return fault(why.startsWith("Expected") ? `${key}: ${why.toLowerCase()}` : why)
    }
    values[name] = decoded.success
  }
  const plain = values as unknown as Plain
  const notes: string[] = []
  for (const { key, flag, refused, why } of LEFT_OUT) {
    const value = given.get(key)
    if (value === undefined || value === false || value === "" || shown(value) === "[]") continue
    if (refused) return fault(`--${flag}: ${why}`)
    notes.push(`--${flag} has no effect: ${why}`)
  }
  const conflict = conflictOf(plain)
  return conflict === undefined ? Result.succeed(complete(plain, notes)) : fault(conflict)
}

/** What two settings, each right by itself, say against one another. */
function conflictOf(it: Plain): string | undefined {
  if (it.bridge !== "" && it.bip !== "") {
    return "You specified -b & --bip, mutually exclusive options. Please specify only one"
  }
  if (!it.iptables && !it.icc) {
    return "You specified --iptables=false with --icc=false. ICC=false uses iptables to function. "
      + "Please set --icc or --iptables to true"
  }
  if (it.bip !== "" && it.fixedCidr !== "" && !contains(it.bip, it.fixedCidr)) {
    return `--fixed-cidr ${it.fixedCidr} is not within --bip ${it.bip}`
  }
  if ((it.deltaDataRoot === "") !== (it.deltaStorageDriver === "")) {
    return "--delta-data-root and --delta-storage-driver need one another"
  }
  const roots = [it.dataRoot, it.execRoot, it.deltaDataRoot].filter((root) => root !== "")
  if (new Set(roots.map((root) => root.replace(/\/+$/, ""))).size < roots.length) {
    return "--data-root, --exec-root and --delta-data-root must be different directories"
  }
  const reserved = RUNTIMES.find((name) => name in it.runtimes)
  if (reserved !== undefined) return `runtime name '${reserved}' is reserved`
  if (!RUNTIMES.includes(it.defaultRuntime) && !(it.defaultRuntime in it.runtimes)) {
    return `specified default runtime '${it.defaultRuntime}' does not exist`
  }
  return undefined
}

function complete({ hosts, defaultShmSize, ...plain }: Plain, notes: readonly string[]): Settings {
  const driver = plain.execOpts.at(-1)?.split("=")[1]
  return {
    ...plain,
    // Without rules of ours nothing can masquerade: dockerd turns it off in silence too.
    ipMasq: plain.ipMasq && plain.iptables,
    hosts: (hosts.length > 0 ? hosts : [DEFAULT_HOST]).flatMap((text) => toHost(text) ?? []),
    defaultShmBytes: toBytes(String(defaultShmSize)) ?? 0,
    cgroupDriver: driver === "systemd" ? "systemd" : "cgroupfs",
    notes,
  }
}

/** The first descriptor systemd passes (sd_listen_fds(3)). */
const LISTEN_FDS_START = 3

/** The sockets systemd has opened for this process: descriptors, with their names where given. */
export function listenFds(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): readonly { readonly fd: number; readonly name: string }[] {
  if (env["LISTEN_PID"] !== String(pid)) return []
  const names = (env["LISTEN_FDNAMES"] ?? "").split(":")
  const count = Number.parseInt(env["LISTEN_FDS"] ?? "0", 10) || 0
  return Array.from({ length: count }, (_, at) => (
    { fd: LISTEN_FDS_START + at, name: names[at] ?? "" }
  ))
}
