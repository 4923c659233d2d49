import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync, watch } from "node:fs"
import { join } from "node:path"

/**
 * The log of one container: `log`, and what was rotated away as `log.1` (the newest of the old),
 * `log.2`, … conmon appends whole lines, so a file is read by lines at any time. All throw Node's
 * own errors, which carry a code.
 */

const NAME = /^log(?:\.(\d+))?$/

/** Paths of the log files in a container's directory, oldest first. */
export const logFiles = (home: string): readonly string[] => {
  let names: string[]
  try {
    names = readdirSync(home)
  } catch {
    return []
  }
  const age = (name: string): number => Number(NAME.exec(name)![1] ?? 0)
  return names.filter((name) => NAME.test(name)).sort((a, b) => age(b) - age(a))
    .map((name) => join(home, name))
}

const STEP = 64 * 1024
const NEWLINE = 10

/** A log file being read. Holds its descriptor: rotation renames the file, and it is read on. */
export class LogReader {
  readonly #descriptor: number
  #at: number
  #rest: Buffer = Buffer.alloc(0)

  constructor(path: string, at = 0) {
    this.#descriptor = openSync(path, "r")
    this.#at = at
  }

  /** The next whole lines, some 64 KiB of them; null: there are no more now. */
  lines(): Buffer | null {
    const bytes = Buffer.allocUnsafe(STEP)
    for (;;) {
      const length = readSync(this.#descriptor, bytes, 0, STEP, this.#at)
      if (length === 0) return null
      this.#at += length
      const all = Buffer.concat([this.#rest, bytes.subarray(0, length)])
      const end = all.lastIndexOf(NEWLINE) + 1
      this.#rest = Buffer.from(all.subarray(end))
      if (end > 0) return all.subarray(0, end)
    }
  }

  /** Is this still the file at `path`? */
  isAt(path: string): boolean {
    const there = statSync(path, { throwIfNoEntry: false })
    return there === undefined || there.ino === fstatSync(this.#descriptor).ino
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}

/**
 * Reads a file backwards, line by line, until `take` has had enough (answers false) or the file
 * begins. Answers where the lines taken begin.
 */
export const readBackwards = (path: string, take: (line: Buffer) => boolean): number => {
  const descriptor = openSync(path, "r")
  try {
    let end = fstatSync(descriptor).size
    let tail: Buffer = Buffer.alloc(0)
    let start = -1
    while (end > 0) {
      const length = Math.min(STEP, end)
      const bytes = Buffer.allocUnsafe(length)
      readSync(descriptor, bytes, 0, length, end - length)
      end -= length
      const all = Buffer.concat([bytes, tail])
      if (start < 0) start = end + all.lastIndexOf(NEWLINE) + 1 // what is half written is no line
      let to = start - end
      for (;;) {
        const from = to < 2 ? -1 : all.lastIndexOf(NEWLINE, to - 2)
        if (from < 0) break
        if (!take(all.subarray(from + 1, to))) return start
        to = from + 1
        start = end + to
      }
      tail = Buffer.from(all.subarray(0, to))
    }
    return start > 0 && take(tail.subarray(0, start)) ? 0 : Math.max(start, 0)
  } finally {
    closeSync(descriptor)
  }
}

/** Calls back whenever a directory's files may have changed. Answers how to stop. */
export const watchDirectory = (path: string, changed: () => void): () => void => {
  const watcher = watch(path, { persistent: false }, changed)
  watcher.on("error", changed)
  return () => watcher.close()
}
