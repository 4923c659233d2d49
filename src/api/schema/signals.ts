import { invalid } from "../faults.ts"

/** Linux's signals by number, as every architecture we run on has them (signal(7)). */
const NAMES = [
  "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
  "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU",
  "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
] as const
const ALIASES: Readonly<Record<string, number>> = { IOT: 6, CLD: 17, POLL: 29 }
/** Real-time signals as the C library numbers them. */
const RTMIN = 34
const RTMAX = 64

const KNOWN: Readonly<Record<string, number>> = {
  ...Object.fromEntries(NAMES.map((name, index) => [name, index + 1])),
  ...ALIASES,
}

function numbered(name: string): number | undefined {
  const realtime = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name)
  if (realtime === null) return KNOWN[name]
  const offset = Number(realtime[3] ?? 0) * (realtime[2] === "-" ? -1 : 1)
  const number = (realtime[1] === "MIN" ? RTMIN : RTMAX) + offset
  return number >= RTMIN && number <= RTMAX ? number : undefined
}

/** The number of a signal given as `KILL`, `sigkill` or `9`. Throws for any other. */
export function signalNumber(text: string): number {
  const number = /^\d+$/.test(text)
    ? Number(text)
    : numbered(text.toUpperCase().replace(/^SIG/, ""))
  if (number === undefined || number < 1 || number > RTMAX) throw invalid(`Invalid signal: ${text}`)
  return number
}

/** Its name, or its number where it has none: what the machine and the runtime speak. */
export function signalName(text: string): string {
  const number = signalNumber(text)
  const name = NAMES[number - 1]
  return name === undefined ? String(number) : `SIG${name}`
}

/** Signals that mean to end a container: its restart policy is then silenced, as under dockerd. */
export const isLast = (number: number, stopSignal: number): boolean =>
  number === KNOWN["KILL"] || number === stopSignal
