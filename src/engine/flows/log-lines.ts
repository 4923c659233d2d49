/** What of a log is asked for. Times are nanoseconds since the epoch. */
export interface LogWish {
  readonly stdout: boolean
  readonly stderr: boolean
  readonly sinceNs: bigint | null
  readonly untilNs: bigint | null
}

/** One message as Docker counts them: a line, or 16 KiB of one that is longer. */
export interface LogMessage {
  readonly stream: 1 | 2
  /** `2026-11-24T04:43:30.809716487Z`: always UTC, always nine digits. */
  readonly time: string
  /** With its newline, if it has one. */
  readonly data: Buffer
}

/** One line of a k8s-file log: `<time> stdout|stderr P|F <data>\n`. */
export interface LogLine {
  readonly time: string
  readonly stream: 1 | 2
  /** More of the same line follows. */
  readonly partial: boolean
  readonly data: Buffer
}

const SPACE = 32
const NEWLINE = 10

/** Reads one line, newline and all; null: it is none (a file cut short by a power cut). */
export const parseLine = (line: Buffer): LogLine | null => {
  const timeEnd = line.indexOf(SPACE)
  const streamEnd = line.indexOf(SPACE, timeEnd + 1)
  const tagEnd = line.indexOf(SPACE, streamEnd + 1)
  if (timeEnd < 0 || streamEnd < 0 || tagEnd < 0) return null
  const stream = line.toString("latin1", timeEnd + 1, streamEnd)
  const tag = line.toString("latin1", streamEnd + 1, tagEnd)
  if ((stream !== "stdout" && stream !== "stderr") || (tag !== "P" && tag !== "F")) return null
  const end = line[line.length - 1] === NEWLINE ? line.length - 1 : line.length
  return {
    time: line.toString("latin1", 0, timeEnd),
    stream: stream === "stdout" ? 1 : 2,
    partial: tag === "P",
    data: line.subarray(tagEnd + 1, end),
  }
}

/** Splits whole lines. */
export function* linesOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(NEWLINE, at)
    const next = end < 0 ? bytes.length : end + 1
    yield bytes.subarray(at, next)
    at = next
  }
}

const TIME = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)$/
const NANOS = 1_000_000_000n

/** A log's time (RFC 3339 in the zone of whoever wrote it) in nanoseconds; null: it is none. */
export const nanosOf = (time: string): bigint | null => {
  const match = TIME.exec(time)
  if (match === null) return null
  const [, whole, fraction = "", zone] = match
  const seconds = Date.parse(`${whole}${zone}`) / 1000
  return BigInt(seconds) * NANOS + BigInt(fraction.padEnd(9, "0"))
}

/** The same in UTC with nine digits, as Docker writes it. */
export const utcOf = (nanos: bigint): string => {
  const whole = new Date(Number(nanos / NANOS) * 1000).toISOString().slice(0, -5)
  return `${whole}.${String(nanos % NANOS).padStart(9, "0")}Z`
}

/** Docker's own limit: a longer line is several messages. */
const MESSAGE_BYTES_MAX = 16 * 1024
const ENDING = Buffer.from("\n")

interface Gathering {
  readonly nanos: bigint
  readonly pieces: Buffer[]
  bytes: number
}

/** Joins the pieces of lines to messages, stream by stream, and leaves out the unwished-for. */
export class LogJoiner {
  readonly #wish: LogWish
  readonly #open = new Map<1 | 2, Gathering>()
  /** A line later than `until` has come: nothing more will be wished for. */
  isPast = false

  constructor(wish: LogWish) {
    this.#wish = wish
  }

  /** Takes one line; gives the message that it completes. */
  take(line: Buffer): LogMessage | undefined {
    const parsed = parseLine(line)
    const nanos = parsed && nanosOf(parsed.time)
    if (parsed === null || nanos === null) return undefined
    const { stream, partial } = parsed
    const open = this.#open.get(stream) ?? { nanos, pieces: [], bytes: 0 }
    open.pieces.push(Buffer.from(parsed.data))
    open.bytes += parsed.data.length
    if (partial && open.bytes < MESSAGE_BYTES_MAX) {
      this.#open.set(stream, open)
      return undefined
    }
    this.#open.delete(stream)
    return this.#message(stream, open, !partial)
  }

  /** What never got its newline, at the end. */
  end(): LogMessage[] {
    const left = [...this.#open].map(([stream, open]) => this.#message(stream, open, false))
    this.#open.clear()
    return left.filter((message) => message !== undefined)
  }

  #message(stream: 1 | 2, { nanos, pieces }: Gathering, whole: boolean): LogMessage | undefined {
    const { stdout, stderr, sinceNs, untilNs } = this.#wish
    if (untilNs !== null && nanos > untilNs) {
      this.isPast = true
      return undefined
    }
    if (sinceNs !== null && nanos < sinceNs) return undefined
    if (stream === 1 ? !stdout : !stderr) return undefined
    const data = Buffer.concat(whole ? [...pieces, ENDING] : pieces)
    return { stream, time: utcOf(nanos), data }
  }
}

/** Counts messages backwards: is this line still among the last `count`? */
export const lastMessages = (count: number): (line: Buffer) => boolean => {
  let left = count
  let first = true
  return (line) => {
    const parsed = parseLine(line)
    if (parsed === null) return true
    // A message ends where a line is whole; at the very end an unfinished one counts too.
    if (!parsed.partial || first) left--
    first = false
    return left >= 0
  }
}
