import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { LEFT_OUT, OPTIONS, type Kind } from "./options.ts"

/** Settings that cannot be used: what was asked, where, and what would be right. */
export class SettingsFault extends Schema.TaggedError<SettingsFault>()("SettingsFault", {
  cause: Schema.String,
}) {
  override get message(): string {
    return this.cause
  }
}

export const fault = (cause: string) => Result.fail(new SettingsFault({ cause }))

/** What was given under each daemon.json key, not yet checked; shapes are daemon.json's. */
export type Given = Map<string, unknown>

export interface Argv {
  readonly action: "run" | "help" | "version"
  /** Null: none was named, and the default one may be missing. */
  readonly configFile: string | null
  readonly given: Given
}

interface Named {
  readonly flag: string
  readonly short: string
  readonly key: string
  readonly kind: Kind
}

const CONFIG_FILE: Named = { flag: "config-file", short: "", key: "", kind: "text" }
const HELP: Named = { flag: "help", short: "h", key: "", kind: "truth" }
const VERSION: Named = { flag: "version", short: "v", key: "", kind: "truth" }
const NAMED: readonly Named[] = [
  ...Object.values(OPTIONS),
  ...LEFT_OUT.map((row) => ({ ...row, short: "" })),
  CONFIG_FILE,
  HELP,
  VERSION,
].filter((option) => option.flag !== "")

const seeHelp = (cause: string) => fault(`${cause}\nSee 'balenad --help'.`)

const TRUE = ["1", "t", "T", "TRUE", "true", "True"]
const FALSE = ["0", "f", "F", "FALSE", "false", "False"]
const PAIR = /^([^=]+)=(.*)$/s
const ULIMIT = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const added = (before: unknown, more: Readonly<Record<string, unknown>>) =>
  ({ ...(isRecord(before) ? before : {}), ...more })

/** What one occurrence of a flag makes of what was given before it; null: it cannot be read. */
const READ: Readonly<Record<Kind, (text: string, before: unknown) => unknown>> = {
  text: (text) => text,
  number: (text) => (/^[+-]?\d+$/.test(text) ? Number(text) : null),
  truth: (text) => (TRUE.includes(text) ? true : FALSE.includes(text) ? false : null),
  list: (text, before) => [...(Array.isArray(before) ? before : []), text],
  map: (text, before) => {
    const [, name, value = ""] = PAIR.exec(text) ?? []
    return name === undefined ? added(before, { [text]: "" }) : added(before, { [name]: value })
  },
  ulimits: (text, before) => {
    const [, name, soft, hard = soft] = ULIMIT.exec(text) ?? []
    if (name === undefined) return null
    return added(before, { [name]: { soft: Number(soft), hard: Number(hard) } })
  },
  runtimes: (text, before) => {
    const [, name, path] = PAIR.exec(text) ?? []
    return name === undefined ? null : added(before, { [name]: { path } })
  },
  pools: (text, before) => {
    const fields = text.split(",").map((field) => PAIR.exec(field))
    const value = (name: string) => fields.find((field) => field?.[1] === name)?.[2]
    if (fields.length !== 2 || value("base") === undefined) return null
    return [...(Array.isArray(before) ? before : []), {
      base: value("base"), size: Number(value("size")),
    }]
  },
}

const spelt = ({ flag, short }: Named) => (short === "" ? `--${flag}` : `-${short}, --${flag}`)

/** Splits `--flag=value`, `-f=value`, `-fvalue` and `-f`; null: no such flag, or no flag at all. */
function split(word: string): { readonly option: Named; readonly value: string | null } | null {
  if (word.startsWith("--")) {
    const equals = word.indexOf("=")
    const name = word.slice(2, equals < 0 ? undefined : equals)
    const option = NAMED.find((option) => option.flag === name)
    if (option === undefined) return null
    return { option, value: equals < 0 ? null : word.slice(equals + 1) }
  }
  const option = NAMED.find((option) => option.short !== "" && option.short === word[1])
  if (option === undefined) return null
  const rest = word.slice(2)
  return { option, value: rest === "" ? null : rest.replace(/^=/, "") }
}

/** Reads the daemon's command line as dockerd does: flags only, the last of a single one wins. */
export function readArgv(words: readonly string[]): Result.Result<Argv, SettingsFault> {
  const given: Given = new Map()
  let configFile: string | null = null
  let action: Argv["action"] = "run"
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? ""
    if (!word.startsWith("-") || word === "-" || word === "--") {
      return seeHelp('"balenad" accepts no argument(s).')
    }
    const found = split(word)
    if (found === null) return seeHelp(`unknown flag: ${word.split("=", 1)[0]}`)
    const { option } = found
    let text = found.value
    if (text === null && option.kind === "truth") text = "true"
    if (text === null) {
      at += 1
      text = words[at] ?? null
    }
    if (text === null) return seeHelp(`flag needs an argument: ${word}`)
    const value = READ[option.kind](text, given.get(option.key))
    if (value === null) return seeHelp(`invalid argument "${text}" for "${spelt(option)}" flag`)
    if (option === CONFIG_FILE) configFile = text
    else if (option === HELP && value === true) action = "help"
    else if (option === VERSION && value === true) action = "version"
    else if (option.key !== "") given.set(option.key, value)
  }
  return Result.succeed({ action, configFile, given })
}

/** The text of `balenad --help`. */
export function helpText(): string {
  const rows = [...NAMED]
    .filter((named) => !LEFT_OUT.some((row) => row.flag === named.flag))
    .sort((a, b) => (a.flag < b.flag ? -1 : 1))
    .map((named) => {
      const short = named.short === "" ? "    " : `-${named.short}, `
      const word = named.kind === "truth" ? "" : ` ${named.kind}`
      const row = Object.values(OPTIONS).find((option) => option.flag === named.flag)
      return `  ${`${short}--${named.flag}${word}`.padEnd(40)}${row?.help ?? ""}`
    })
  return `
Usage:\tbalenad [OPTIONS]

A container engine for devices in the field.

Options:
${rows.map((row) => row.trimEnd()).join("\n")}
`
}
