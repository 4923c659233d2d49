import { join } from "node:path"
import { has, outcome, type Outcome } from "../images/command.ts"
import type { Screen } from "./screen.ts"
import { shortened } from "./words.ts"

/** A word as it must be typed. */
const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`)
const line = (words: readonly string[]): string => words.map(quoted).join(" ")

const DIST = join(import.meta.dirname, "../../dist")
export const BALENAD = join(DIST, "balenad")
const BALENA = join(DIST, "balena")

/** How much of an answer is shown: all of it, its last lines, or those that a pattern finds. */
export interface Shown {
  readonly lines?: number
  /** Also typed, as `| grep -E …`. */
  readonly grep?: string
  /** These stand out. */
  readonly marked?: RegExp
}

/** A shell on the device: what is typed there is shown, done, and answered. */
export interface Terminal {
  /** `docker`, or `dist/balena` where Docker's CLI is not installed. */
  readonly client: string
  /** Types a command that must succeed; answers its stdout, whole. */
  readonly type: (words: readonly string[], shown?: Shown) => Promise<string>
  /** Types a command that takes a while: it is shown at once, its answer is for the caller. */
  readonly begin: (words: readonly string[]) => Promise<Outcome>
  /** Shows an answer, or the end of it. */
  readonly show: (outcome: Outcome, shown?: Shown) => void
}

/** Opens a shell whose clients find the engine at `socket`. */
export const openTerminal = async (
  screen: Screen,
  socket: string,
  home: string,
): Promise<Terminal> => {
  const client = (await has("docker")) ? "docker" : "dist/balena"
  const env = { DOCKER_HOST: `unix://${socket}`, DOCKER_CONFIG: home }
  const program = (name: string): string =>
    name === "dist/balena" ? BALENA : name === "dist/balenad" ? BALENAD : name
  const begin: Terminal["begin"] = ([name = "", ...words]) =>
    outcome(program(name), words, { env })
  const show: Terminal["show"] = ({ stdout, stderr }, { lines = Infinity, marked } = {}) => {
    const all = shortened(stdout + stderr).split("\n").filter((line) => line !== "")
    const last = all.slice(-lines)
    if (last.length < all.length) screen.output("…")
    if (last.length > 0) screen.output(last.join("\n"), marked)
  }
  return {
    client,
    begin: (words) => {
      screen.command(line(words))
      return begin(words)
    },
    show,
    type: async (words, shown = {}) => {
      const { grep } = shown
      screen.command(line(words) + (grep === undefined ? "" : ` | grep -E ${quoted(grep)}`))
      const answer = await begin(words)
      if (answer.code !== 0) {
        const said = (answer.stderr + answer.stdout).trim()
        throw new Error(`${words.slice(0, 3).join(" ")} ended with ${answer.code}: ${said}`)
      }
      const found = grep === undefined
        ? answer
        : await outcome("grep", ["-E", grep], { input: answer.stdout })
      show(found, shown)
      return answer.stdout
    },
  }
}
