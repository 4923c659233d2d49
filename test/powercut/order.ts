import type { Call } from "./trace.ts"

/**
 * The order in which a pull may be made durable, held to the kernel's own calls: content, then the
 * index with all names, then the row that says so, and only then a word to anybody. Each rule
 * answers in plain words where it was broken.
 */

const isIndex = ({ on }: Call): boolean => /\/overlay2\/\w+\/index$/.test(on)
const isLog = ({ on }: Call): boolean => on.endsWith("/engine.db-wal")
/** The layer's directory below which this call changes something; null: it does not. */
const layerOf = ({ on }: Call): string | null => /\/overlay2\/\w+/.exec(on)?.[0] ?? null

/** A message over the channel between daemon and child, by what it calls itself. */
export const isMessage = (tag: string) => ({ name, on, bytes }: Call): boolean =>
  name === "write" && on.startsWith("UNIX-STREAM:") &&
  bytes.includes(`_tag"${String.fromCharCode(tag.length)}${tag}"`)

/** A line that a client gets to read. */
const isLine = (text: string) => ({ name, on, bytes }: Call): boolean =>
  /^writev?$/.test(name) && on.includes("s.sock") && bytes.includes(text)

interface Range {
  readonly from: number
  readonly to: number
}

/** Of `pwrite64(fd, "…", count, offset)` and `sync_file_range(fd, offset, count, flags)`. */
const rangeOf = ({ name, args, result }: Call): Range => {
  const [, first, second] = name === "pwrite64"
    ? /, (\d+), (\d+)$/.exec(args) ?? []
    : /, (\d+), (\d+), \S+$/.exec(args) ?? []
  if (name === "pwrite64") return { from: Number(second), to: Number(second) + result }
  const to = second === "0" ? Infinity : Number(first) + Number(second)
  return { from: Number(first), to }
}

const without = (dirty: readonly Range[], clean: Range): readonly Range[] =>
  dirty.flatMap(({ from, to }) => [
    { from, to: Math.min(to, clean.from) },
    { from: Math.max(from, clean.to), to },
  ]).filter(({ from, to }) => from < to)

const isWait = ({ name, args }: Call): boolean =>
  name === "sync_file_range" && args.includes("SYNC_FILE_RANGE_WAIT_AFTER")

/** A layer's index is made durable only when no content of its files is still on its way. */
export const contentBeforeIndex = (calls: readonly Call[]): readonly string[] => {
  const dirty = new Map<number, { readonly on: string; ranges: readonly Range[] }>()
  const faults: string[] = []
  for (const call of calls) {
    const { name, fd, on } = call
    const file = dirty.get(fd)
    if (name === "pwrite64" && layerOf(call) !== null && !isIndex(call)) {
      dirty.set(fd, { on, ranges: [...file?.ranges ?? [], rangeOf(call)] })
    } else if (file !== undefined && file.on === on && isWait(call)) {
      file.ranges = without(file.ranges, rangeOf(call))
    } else if (file !== undefined && file.on === on && name === "close") {
      dirty.delete(fd)
      if (file.ranges.length > 0) faults.push(`${on} was closed and never waited for`)
    } else if (name === "fsync" && isIndex(call)) {
      const left = [...dirty.values()].filter((one) => one.ranges.length > 0)
      faults.push(...left.map((one) => `${on} was synced while ${one.on} was being written`))
    }
  }
  return faults
}

const CHANGES = new Set([
  "pwrite64", "write", "ftruncate", "mkdirat", "mknodat", "symlinkat", "linkat", "renameat2",
  "unlinkat", "fchown", "fchownat", "fchmod", "fchmodat", "fsetxattr", "utimensat",
])
const isChange = ({ name, args }: Call): boolean =>
  CHANGES.has(name) || name.startsWith("openat") && args.includes("O_CREAT")

/** The child says how far it is only when the index, and all before it, is on the disk. */
export const indexBeforeWord = (calls: readonly Call[]): readonly string[] => {
  const unsynced = new Map<string, Call>()
  const faults: string[] = []
  for (const call of calls) {
    const layer = layerOf(call)
    if (layer !== null && call.name === "fsync" && isIndex(call)) unsynced.delete(layer)
    else if (layer !== null && isChange(call)) unsynced.set(layer, call)
    for (const tag of ["checkpoint", "fetched"].filter((one) => isMessage(one)(call))) {
      faults.push(...[...unsynced.values()].map(({ name, on }) => `${tag} after ${name} of ${on}`))
    }
  }
  return faults
}

/** One transaction as it went into the log: a header before each page, the last says so. */
interface Transaction {
  readonly bytes: string
  readonly ended: number
}

const HEADER_BYTES = 24

const transactionsOf = (calls: readonly Call[]): readonly Transaction[] => {
  const found: Transaction[] = []
  let pages: string[] = []
  let isLast = false
  for (const call of calls) {
    if (!isLog(call) || call.name !== "pwrite64") continue
    if (call.bytes.length === HEADER_BYTES) isLast = call.bytes.slice(4, 8) !== "\0\0\0\0"
    else if (call.bytes.length > 2 * HEADER_BYTES) {
      pages.push(call.bytes)
      if (isLast) found.push({ bytes: pages.join("\n"), ended: call.ended })
      if (isLast) pages = []
    }
  }
  return found
}

/** Was the log synced after `transaction`, before `word` was said? */
const isSynced = (calls: readonly Call[], { ended }: Transaction, word: Call): boolean =>
  calls.some((call) =>
    call.name === "fdatasync" && isLog(call) && call.result === 0 &&
    call.began > ended && call.ended < word.began)

/** What is only said once a row is certain: any of `marks` tells the row. */
interface Word {
  readonly name: string
  readonly said: Call | undefined
  readonly marks: readonly string[]
  /** Which of the transactions that hold a mark it relies on. */
  readonly relies: "first" | "last"
}

const kept = (calls: readonly Call[], words: readonly Word[]): readonly string[] => {
  const transactions = transactionsOf(calls)
  return words.flatMap(({ name, said, marks, relies }) => {
    const holding = transactions.filter(({ bytes }) => marks.some((mark) => bytes.includes(mark)))
    const row = holding.at(relies === "first" ? 0 : -1)
    if (said === undefined) return [`${name} was never said`]
    if (row === undefined) return [`what ${name} relies on was never written`]
    return isSynced(calls, row, said) ? [] : [`${name} was said before it was certain`]
  })
}

/** Both hashes of a checkpoint: at least one of them lies within one page. */
const marksOf = ({ bytes }: Call): readonly string[] =>
  [...bytes.matchAll(/"(?:blob|tar)Hash":"([^"]{60})/g)].map(([, hash = ""]) => hash)

/** Every checkpoint is kept before the child hears so and goes beyond it. */
export const checkpointsBeforeSaved = (calls: readonly Call[]): readonly string[] => {
  const saved = calls.filter(isMessage("saved"))
  return kept(calls, calls.filter(isMessage("checkpoint")).map((told, index) => ({
    name: `saved ${index + 1}`, said: saved[index], marks: marksOf(told), relies: "first",
  })))
}

export interface Marks {
  /** `127.0.0.1:5000/app:1`. */
  readonly reference: string
  readonly diffId: string
  /** A text that the image's config has again and again. */
  readonly config: string
}

/** The wish before its echo, the layer's row before its directory, the image before its news. */
export const rowsBeforeWords = (calls: readonly Call[], marks: Marks): readonly string[] =>
  kept(calls, [
    {
      name: "that it pulls", said: calls.find(isLine("Pulling from")),
      marks: [marks.reference], relies: "first",
    },
    {
      name: "to fetch a layer", said: calls.find(isMessage("fetch")),
      marks: [marks.diffId], relies: "first",
    },
    {
      name: "that it is there", said: calls.find(isLine("Status: Downloaded newer image")),
      marks: [marks.config], relies: "last",
    },
  ])
