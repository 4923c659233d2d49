import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { logFiles, LogReader, readBackwards, watchDirectory } from "../../kernel/logfile.ts"
import { Loop } from "../loop.ts"
import { lastMessages, linesOf, LogJoiner, type LogMessage, type LogWish } from "./log-lines.ts"

export interface LogsWanted extends LogWish {
  /** Only so many of the last messages; null: all. */
  readonly tail: number | null
  /** Go on with what is written from now on, for as long as the container runs. */
  readonly follow: boolean
}

interface Place {
  readonly path: string
  readonly at: number
}

/** Where to begin so that only the last `tail` messages are read, across the files. */
function places(home: string, tail: number | null): Place[] {
  const paths = logFiles(home)
  if (tail === null) return paths.map((path) => ({ path, at: 0 }))
  const take = lastMessages(tail)
  const chosen: Place[] = []
  for (const path of paths.toReversed()) {
    let enough = false
    const at = readBackwards(path, (line) => {
      enough = !take(line)
      return !enough
    })
    chosen.unshift({ path, at })
    if (enough) break
  }
  return chosen
}

/** Reads through a container's files in order; goes over to the next when one is at its end. */
class LogCursor {
  readonly #home: string
  readonly #joiner: LogJoiner
  #places: Place[]
  #path = ""
  #reader: LogReader | null = null

  constructor(home: string, wanted: LogsWanted) {
    this.#home = home
    this.#joiner = new LogJoiner(wanted)
    this.#places = places(home, wanted.tail)
  }

  /** The next messages; empty: none of these bytes was wished for; null: there are no more now. */
  next(): LogMessage[] | null {
    if (this.#joiner.isPast) return null
    this.#reader ??= this.#open()
    if (this.#reader === null) return null
    const bytes = this.#reader.lines()
    if (bytes !== null) {
      return [...linesOf(bytes)].map((line) => this.#joiner.take(line))
        .filter((message) => message !== undefined)
    }
    if (this.#places.length === 0 && this.#reader.isAt(this.#path)) return null
    this.close()
    return []
  }

  get isPast(): boolean {
    return this.#joiner.isPast
  }

  /** What never got its newline. */
  end(): LogMessage[] {
    return this.#joiner.end()
  }

  close(): void {
    this.#reader?.close()
    this.#reader = null
  }

  #open(): LogReader | null {
    const place = this.#places.shift() ?? this.#newest()
    if (place === undefined) return null
    this.#path = place.path
    return new LogReader(place.path, place.at)
  }

  #newest(): Place | undefined {
    const path = logFiles(this.#home).at(-1)
    return path === undefined ? undefined : { path, at: 0 }
  }
}

/** What may make more of a log to read, or end it: its directory, and the container's exit. */
const watching = (id: string, home: string) =>
  Effect.gen(function*() {
    const loop = yield* Loop
    let wake: (() => void) | null = null
    let changed = true
    const tell = () => {
      changed = true
      wake?.()
    }
    const runs = () => loop.snapshot(`container/${id}`)?.hasTag("running") === true
    const stopListening = loop.listen(({ address }) => address === `container/${id}` && tell())
    const stopWatching = watchDirectory(home, tell)
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        stopListening()
        stopWatching()
      })
    )
    const next = Effect.callback<void>((resume) => {
      const go = () => {
        wake = null
        changed = false
        resume(Effect.void)
      }
      if (changed) return go()
      wake = go
      return Effect.sync(() => (wake = null))
    })
    return { runs, next }
  })

/**
 * The messages of a container's log, some at a time. Following ends when its process does: all that
 * it wrote is in the file by then. The reader holds its files until the scope closes.
 */
export const logsOf = (id: string, home: string, wanted: LogsWanted) =>
  Effect.gen(function*() {
    const cursor = yield* Effect.acquireRelease(
      Effect.sync(() => new LogCursor(home, wanted)),
      (cursor) => Effect.sync(() => cursor.close()),
    )
    const loop = yield* Loop
    const running = loop.snapshot(`container/${id}`)?.hasTag("running") === true
    const watch = wanted.follow && running ? yield* watching(id, home) : null

    const step = (ended: boolean) =>
      Effect.gen(function*(): Effect.fn.Return<readonly [LogMessage[], boolean] | undefined> {
        if (ended) return undefined
        // Asked before reading: if it has ended by now, all that it wrote is there to be read.
        const runs = watch?.runs() === true
        const messages = cursor.next()
        if (messages !== null) return [messages, false]
        if (watch === null || !runs || cursor.isPast) return [cursor.end(), true]
        yield* watch.next
        return [[], false]
      })
    return Stream.filter(Stream.unfold(false, step), (messages) => messages.length > 0)
  })
