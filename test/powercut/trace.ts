/** One call of the kernel, as `strace -f -yy` writes it down. */
export interface Call {
  readonly name: string
  /** The descriptor it is about (its first argument), and what that stands for; else "". */
  readonly fd: number
  readonly on: string
  /** All arguments, as they are written. */
  readonly args: string
  /** What it was given to write, as far as strace keeps it: latin1. */
  readonly bytes: string
  /** Where in the trace it began, and where it had ended: others may lie between. */
  readonly began: number
  readonly ended: number
  /** What it answered; negative: it failed. */
  readonly result: number
}

/** The calls of a trace in the order in which they began. One that never ended is left out. */
export const callsOf = (trace: string): readonly Call[] => {
  const calls: Call[] = []
  const unfinished = new Map<string, { readonly text: string; readonly began: number }>()
  for (const [at, line] of trace.split("\n").entries()) {
    const [, thread = "", rest = ""] = /^(\d+) +(.*)$/.exec(line) ?? []
    const [, resumed] = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest) ?? []
    const before = resumed === undefined ? undefined : unfinished.get(thread)
    const text = before === undefined ? rest : before.text + resumed
    const cut = text.indexOf(" <unfinished ...>")
    if (cut >= 0) unfinished.set(thread, { text: text.slice(0, cut), began: at })
    else calls.push(...callOf(text, before?.began ?? at, at))
  }
  return calls.toSorted((one, other) => one.began - other.began)
}

const callOf = (text: string, began: number, ended: number): readonly Call[] => {
  const [, name, args, answer] = /^(\w+)\((.*)\) += (-?\d+)/.exec(text) ?? []
  if (name === undefined || args === undefined) return [] // a signal, or the end of a thread
  const [first = "", fd = "-1", on = ""] = /^(-?\d+)<(.*?)>(?=,|$)/.exec(args) ?? []
  const strings = args.slice(first.length).matchAll(/"((?:[^"\\]|\\.)*)"/g)
  const bytes = [...strings].map(([, escaped = ""]) => unescaped(escaped)).join("")
  return [{ name, fd: Number(fd), on, args, bytes, began, ended, result: Number(answer) }]
}

const LETTERS: Readonly<Record<string, string>> = {
  n: "\n", t: "\t", r: "\r", v: "\v", f: "\f",
}

/** Undoes C's escapes: `\n`, `\34`, `\"`. */
const unescaped = (text: string): string =>
  text.replace(/\\(?:([0-7]{1,3})|(.))/g, (_, octal: string | undefined, letter: string) =>
    octal === undefined
      ? LETTERS[letter] ?? letter
      : String.fromCharCode(Number.parseInt(octal, 8)))
