import { FORMATS } from "../machines/draw.ts"
import { count, flag, lettered, parse, UsageError } from "./cli/argv.ts"
import { drawMachine, findMachine, historyOf, listMachines, meant } from "./engine/views/debug.ts"
import { historyText, machinesText, machineText } from "./engine/views/debug-text.ts"
import { withStoppedRoot } from "./kernel/stopped-root.ts"
import { DEFAULTS } from "./settings.ts"
import { Database } from "./store/database.ts"
import { StoreBody } from "./store/store.ts"

interface Question {
  /** The address, or how it begins; undefined: all of them. */
  readonly words: string | undefined
  readonly history: boolean
  readonly format: string
  readonly at: number | undefined
}

const json = (value: unknown): string => `${JSON.stringify(value)}\n`

/** What a running daemon would answer, from the same rows. */
function answer(store: StoreBody, { words, history, format, at }: Question): string {
  if (words === undefined) {
    const machines = listMachines(store)
    return format === "json" ? json(machines) : machinesText(machines)
  }
  const address = meant(store, words)
  if (address === null) throw new UsageError(`no such machine: ${words}`)
  if (history) {
    const lines = historyOf(store, address, at)
    return format === "json" ? json(lines) : historyText(lines)
  }
  const machine = findMachine(store, address)
  if (format === "json") return json(machine ?? { address, state: "ended" })
  const picture = FORMATS.find((one) => one === format)
  if (picture === undefined) {
    throw new UsageError(`unknown format: one of json, ${FORMATS.join(", ")}`)
  }
  const drawing = drawMachine(store, address, picture, at)
  if (picture !== "text") return drawing
  return `${machine === undefined ? `${address}: ended\n` : machineText(machine)}\n${drawing}`
}

/**
 * `balenad debug machines --data-root D [ADDRESS] [--history]`: looks into the machines of an
 * engine that does not run, without changing anything there.
 */
export function main(words: readonly string[]): number {
  try {
    const { given, rest } = parse(words, {
      at: flag.text,
      "data-root": flag.text,
      format: lettered("f", flag.text),
      history: flag.on,
      json: flag.on,
    } as const)
    count(rest, 1, 2)
    const [thing, address] = rest
    if (thing !== "machines") throw new UsageError(`balenad debug knows machines, not ${thing}`)
    const question: Question = {
      words: address,
      history: given.history,
      format: given.json ? "json" : (given.format ?? "text"),
      at: given.at === undefined ? undefined : Number(given.at),
    }
    const root = given["data-root"] ?? DEFAULTS.dataRoot
    process.stdout.write(withStoppedRoot(root, (path) => {
      const database = new Database(path)
      try {
        return answer(new StoreBody(database), question)
      } finally {
        database.close()
      }
    }))
    return 0
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    return 1
  }
}
