/**
 * One thing done to both engines: a command line of the docker CLI (words are parted at blanks,
 * single quotes keep a word together), a request over the socket, or keys typed at a terminal.
 * `@shared` stands for a directory both engines see; `@began` for when the row began, `@now` for now.
 */
export type Step = string | Ask | Typed

export interface Ask {
  /** `GET /containers/json?all=1` */
  readonly ask: string
  readonly body?: unknown
  /** The body as it is sent, byte for byte, in place of `body`. */
  readonly text?: string
}

export interface Typed {
  /** A docker command line that is given a terminal. */
  readonly typed: string
  /** What is to be read on the terminal before the keys are struck. */
  readonly cue: string
  readonly keys: string
}

/** What is compared of each answer: its text, its JSON, or only the keys and types of its JSON. */
export type View = "text" | "json" | "shape"

/** A row of a table: what is done, what is looked at, and where we differ on purpose. */
export interface Row {
  readonly name: string
  readonly steps: readonly Step[]
  readonly view?: View
  /** More to be masked: not the same twice on one engine either. */
  readonly mask?: readonly RegExp[]
  /** Lines come in any order. */
  readonly anyOrder?: boolean
  /**
   * Places that differ on purpose, and why: `stderr`, `stdout[].HostConfig.Init`, `body.message`. A
   * place covers all below it. One that does not differ any more fails: the reason has gone.
   */
  readonly differs?: Readonly<Record<string, string>>
}

export const row = (name: string, ...steps: readonly Step[]): Row => ({ name, steps })

/** The same with more to say. */
export const rowOf = (
  name: string,
  more: Omit<Row, "name" | "steps">,
  ...steps: readonly Step[]
): Row => ({ name, steps, ...more })

/** Parts a command line at blanks; single quotes keep a word together. */
export const wordsOf = (line: string): string[] =>
  [...line.matchAll(/(?:'[^']*'|[^\s'])+/g)].map(([word]) => word.replaceAll("'", ""))

/** What a step is called where it is told of. */
export const titleOf = (step: Step): string =>
  typeof step === "string" ? step : "ask" in step ? step.ask : step.typed
