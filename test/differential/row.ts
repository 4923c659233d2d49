/**
 * One thing done to both engines: a command line of the docker CLI, a request over the socket, or
 * keys typed at a terminal. As text, one a line, they read:
 *
 *     ps -a --format '{{.Names}} x'        words are parted at blanks, but not in single quotes
 *     once --init bb true                  run, without a network, and remove
 *     state one                            how that container stands, in a line
 *     names -a --filter status=exited      ps, of which only the names are looked at
 *     until exited one                     waits for that state of it
 *     says ready one                       waits for that word in its log
 *     POST /containers/one/update {}       a request; its body is sent byte for byte
 *
 * `@shared` stands for a directory both engines see; `@began` for when the row began, `@now` for
 * now; `@full` and `@none` for the beginning of these images' IDs.
 */
export type Step = string | Typed

export interface Typed {
  /** A docker command line that is given a terminal. */
  readonly typed: string
  /** What is to be read on the terminal before the keys are struck. */
  readonly cue: string
  readonly keys: string
}

export interface Looks {
  /** What is compared of each answer: its text, its JSON, or of that only the keys and types. */
  readonly view?: "text" | "json" | "shape"
  /** More to be masked: not the same twice on one engine either. */
  readonly mask?: readonly RegExp[]
  /** Lines and lists come in any order. */
  readonly anyOrder?: boolean
  /**
   * Places that differ on purpose, and why: `stderr`, `stdout[].HostConfig.Init`, `body.message`. A
   * place covers all below it. One that does not differ any more fails: the reason has gone.
   */
  readonly differs?: Readonly<Record<string, string>>
  /** The same, where it depends on the machine whether they differ. */
  readonly may?: Readonly<Record<string, string>>
}

/** A row of a table: what is done, what is looked at, and where we differ on purpose. */
export interface Row extends Looks {
  readonly name: string
  readonly steps: readonly Step[]
}

/** `script`: steps a line each, or some that are none, in a list. */
export const row = (name: string, script: string | readonly Step[], looks: Looks = {}): Row => ({
  name,
  steps: (typeof script === "string" ? [script] : script)
    .flatMap((part): readonly Step[] => typeof part === "string" ? linesOf(part) : [part]),
  ...looks,
})

/**
 * The control group that a row asks for as its container's parent. Neither engine removes a parent
 * that its runtime has made: `pair.ts` does.
 */
export const PARENT_GROUP = `/be-diff-${process.pid}`

const linesOf = (script: string): string[] =>
  script.split("\n").map((line) => line.trim()).filter((line) => line !== "")

const STATE = "{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.State.ExitCode}} "
  + "{{.State.OOMKilled}} {{.RestartCount}}"
const SHORT: Readonly<Record<string, readonly string[]>> = {
  once: ["run", "--rm", "--network", "none"],
  state: ["inspect", "--format", STATE],
  names: ["ps", "--format", "{{.Names}}"],
}

/** Parts a command line at blanks; single quotes keep a word together. */
export const wordsOf = (line: string): readonly string[] => {
  const [first = "", ...rest] = [...line.matchAll(/(?:'[^']*'|[^\s'])+/g)]
    .map(([word]) => word.replaceAll("'", ""))
  return [...SHORT[first] ?? [first], ...rest]
}

export interface Request {
  readonly method: string
  readonly path: string
  readonly body: string | undefined
}

/** A request that a line asks for; null: it is a command. */
export const requestIn = (line: string): Request | null => {
  const [, method = "", path = "", body] = /^([A-Z]{3,6}) (\/\S*)(?: (.*))?$/.exec(line) ?? []
  return method === "" ? null : { method, path, body }
}

/** What a step is called where it is told of. */
export const titleOf = (step: Step): string => typeof step === "string" ? step : step.typed
