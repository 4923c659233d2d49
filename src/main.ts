/** The program's one way in: which part of it runs follows from the name it is called by. */
import { basename } from "node:path"

/** The oldest Node this program runs on: older ones crash in its libraries without a word. */
const OLDEST_NODE = [24, 9] as const

type Part = (words: readonly string[]) => Promise<number>

/** Each part is loaded when it is the one: the terminal's never loads the daemon's. */
const cli: Part = async (words) => (await import("./cli/main.ts")).main(words)

const daemon: Part = async (words) => {
  if (words[0] === "debug") return (await import("./stopped.ts")).main(words.slice(1))
  return (await import("./daemon.ts")).main(words, { childEntry: [import.meta.filename, "child"] })
}

/** Imported for its effect: it lives as long as its channel to the daemon. */
const child: Part = async () => {
  await import("./layers/child.ts")
  return 0
}

/** balenaEngine is one program under many names. */
const PARTS: Readonly<Record<string, Part>> = {
  balena: cli,
  "balena-engine": cli,
  balenad: daemon,
  "balena-engine-daemon": daemon,
  child,
}

const isTooOld = (): boolean => {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
  return major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])
}

/** The launchers give the name as the first word; a link to this file gives it as its own. */
const main = async (): Promise<number> => {
  if (isTooOld()) {
    process.stderr.write(`error: Node ${OLDEST_NODE.join(".")} or later is needed: `
      + `this is ${process.versions.node}\n`)
    return 1
  }
  const [, path = "", ...words] = process.argv
  const own = basename(path)
  const [name = "", ...rest] = own in PARTS ? [own, ...words] : words
  const part = PARTS[name]
  if (part === undefined) {
    process.stderr.write(`error: unknown command: ${name}\n`)
    return 1
  }
  return part(rest)
}

process.exitCode = await main()
