/** A flag: whether it takes a value, once or several times, and its letter. */
export interface Flag {
  readonly takes: "nothing" | "text" | "list"
  readonly short?: string
  /** Another long name for the same (`net` for `network`). */
  readonly alias?: string
}
export type Flags = Readonly<Record<string, Flag>>

/** What was given: absent texts are undefined, absent lists empty, absent switches false. */
export type Given<F extends Flags> = {
  readonly [Name in keyof F]: F[Name]["takes"] extends "nothing" ? boolean
    : F[Name]["takes"] extends "list" ? readonly string[]
    : string | undefined
}

/** Words that cannot be understood: the command's name is put before it where it is caught. */
export class UsageError extends Error {}

/** Shorthands for the tables of flags. */
export const flag = {
  on: { takes: "nothing" },
  text: { takes: "text" },
  list: { takes: "list" },
} as const satisfies Flags
export const lettered = <F extends Flag>(short: string, flag: F): F => ({ ...flag, short })

/**
 * Reads a command's words as the docker CLI does: `--name value`, `--name=value`, `-n value`,
 * `-nvalue`, `-it`. With `stopAtFirst`, what follows the first word that is no flag is left alone
 * (it is another program's command line); otherwise flags may stand anywhere before a `--`.
 */
export function parse<const F extends Flags>(
  words: readonly string[],
  flags: F,
  { stopAtFirst = false } = {},
): { readonly given: Given<F>; readonly rest: readonly string[] } {
  const values: Record<string, unknown> = {}
  for (const [name, { takes }] of Object.entries(flags)) {
    values[name] = takes === "nothing" ? false : takes === "list" ? [] : undefined
  }
  const take = (name: string, value: string) => {
    const { takes } = flags[name]!
    if (takes === "nothing") values[name] = value !== "false"
    else if (takes === "list") (values[name] as string[]).push(value)
    else values[name] = value
  }
  const rest: string[] = []
  const queue = [...words]
  const next = (word: string): string => {
    const value = queue.shift()
    if (value === undefined) throw new UsageError(`flag needs an argument: ${word}`)
    return value
  }
  for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
    if (word === "--") rest.push(...queue.splice(0))
    else if (word.startsWith("--")) long(word, flags, take, next)
    else if (word.startsWith("-") && word !== "-") letters(word, flags, take, next)
    else {
      rest.push(word)
      if (stopAtFirst) rest.push(...queue.splice(0))
    }
  }
  return { given: values as Given<F>, rest }
}

type Take = (name: string, value: string) => void
type Next = (word: string) => string

function long(word: string, flags: Flags, take: Take, next: Next): void {
  const [, asked = "", value] = /^--([^=]*)(?:=(.*))?$/s.exec(word) ?? []
  const [name, flag] = find(flags, (name, flag) => name === asked || flag.alias === asked)
    ?? unknown(`--${asked}`)
  take(name, value ?? (flag.takes === "nothing" ? "true" : next(word)))
}

function letters(word: string, flags: Flags, take: Take, next: Next): void {
  for (let at = 1; at < word.length; at += 1) {
    const letter = word[at]!
    const [name, flag] = find(flags, (_, flag) => flag.short === letter)
      ?? unknown(`'${letter}' in ${word}`, "shorthand ")
    const value = word.slice(at + 1)
    if (flag.takes !== "nothing") {
      take(name, value === "" ? next(word) : value.replace(/^=/, ""))
      return
    }
    if (value.startsWith("=")) {
      take(name, value.slice(1))
      return
    }
    take(name, "true")
  }
}

const find = (flags: Flags, is: (name: string, flag: Flag) => boolean) =>
  Object.entries(flags).find(([name, flag]) => is(name, flag))

function unknown(what: string, kind = ""): never {
  throw new UsageError(kind === "" ? `unknown flag: ${what}` : `unknown ${kind}flag: ${what}`)
}

/** Refuses too few or too many words, as the docker CLI words it. */
export function count(rest: readonly string[], least: number, most = Infinity): void {
  const plural = (n: number) => `${n} argument${n === 1 ? "" : "s"}`
  if (least === most && rest.length !== least) {
    throw new UsageError(least === 0 ? "accepts no arguments" : `requires ${plural(least)}`)
  }
  if (rest.length < least) throw new UsageError(`requires at least ${plural(least)}`)
  if (rest.length > most) throw new UsageError(`requires at most ${plural(most)}`)
}
