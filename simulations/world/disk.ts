import * as Effect from "effect/Effect"
import type { Ballast } from "../../src/kernel/ballast.ts"
import type { Directories } from "../../src/kernel/directories.ts"
import { Database } from "../../src/store/database.ts"
import type { Life, Time } from "./time.ts"

/** Something the engine must never do, say or leave behind. Ends the run; the seed replays it. */
export class Violation extends Error {
  override readonly name = "Violation"
}

/** Rules that a test may break, to see that the checkers notice. */
export interface Broken {
  /** Acting before the sync: commands are carried out although their commit may still be lost. */
  readonly eagerSync?: boolean
  /** A checkpoint is told although what it stands for is not on the disk. */
  readonly noBarrier?: boolean
  /** A pull relies on layers that nothing keeps from being swept. */
  readonly noLease?: boolean
}

/** What SQLite throws where its file cannot grow. */
const NO_ROOM = Object.assign(new Error("no room"), { code: "SQLITE_FULL" })

/**
 * SQLite on a simulated disk: real SQL over memory. An outer transaction is the prefix that the
 * disk holds for certain; each commit is one more savepoint on top. A sync makes them all certain.
 * A power cut keeps the certain prefix and, by chance, some of the commits after it, in their
 * order: exactly what a write-ahead log keeps. Survivable because nothing was promised or done
 * before its sync. A disk without room takes no commit: survivable because whoever asked is told,
 * and the rest waits.
 */
export class SimDatabase extends Database {
  /** Commits that are not certain yet. */
  #stacked = 0
  /** The newest command whose row is certain. */
  certainCommand = 0
  /** Commits that the disk has still room for. */
  room = Infinity
  /** Is the ballast there? */
  ballast = false

  constructor() {
    super(":memory:")
    super.run("BEGIN")
  }

  override begin(): void {
    this.#stacked++
    super.run(`SAVEPOINT commit_${this.#stacked}`)
  }
  override commit(): void {
    if (this.room < 1) throw NO_ROOM
    this.room--
  }
  override rollback(): void {
    super.run(`ROLLBACK TO commit_${this.#stacked}`)
    super.run(`RELEASE commit_${this.#stacked}`)
    this.#stacked--
  }
  override checkpoint(): void {}

  /** All that was committed is certain from here on. */
  sync(): void {
    super.run("COMMIT")
    super.run("BEGIN")
    this.#stacked = 0
    const row = this.get<{ seq: number }>("SELECT seq FROM sqlite_sequence WHERE name = 'command'")
    this.certainCommand = row?.seq ?? 0
  }

  /**
   * The power fails: of the uncertain commits the first `kept` stay. Answers how many there were.
   */
  cut(time: Time): number {
    const uncertain = this.#stacked
    const kept = time.between(0, uncertain + 1)
    if (kept < uncertain) super.run(`ROLLBACK TO commit_${kept + 1}`)
    this.sync()
    return uncertain - kept
  }
}

/** The simulated twin of `Wal`: a sync takes its time, and only then are commits certain. */
export const simWal = (database: SimDatabase, time: Time, broken: Broken) => ({
  sync: Effect.suspend(() =>
    broken.eagerSync === true
      ? Effect.void
      : Effect.andThen(Effect.sleep(time.between(0, 8)), Effect.sync(() => database.sync()))
  ),
  size: () => 0,
})

/** Commits that fit into the room that the ballast gives up. */
const BALLAST_COMMITS = 4

/** The simulated twin of `Ballast`. */
export const simBallast = (database: SimDatabase): Ballast["Service"] => ({
  give: () => {
    if (!database.ballast) return false
    database.ballast = false
    database.room += BALLAST_COMMITS
    return true
  },
  take: () => {
    if (database.room === Infinity) database.ballast = true
  },
})

/** What lies at a path: how far a layer has come there, and whether its end and index have. */
interface Extent {
  /** Which of the times that a layer was begun here this is. */
  readonly run: number
  readonly offset: number
  readonly whole: boolean
}

const EMPTY: Extent = { run: 0, offset: 0, whole: false }

/**
 * Directories on the simulated disk: what a reader sees now, and what is certain. A cut leaves any
 * state between the two, a layer torn in the middle of whatever was not certain; a directory whose
 * removal was not certain may be back.
 */
export class SimDirectories {
  readonly #now = new Map<string, Extent>()
  readonly #certain = new Map<string, Extent>()
  /** Directories somebody has open for writing: two at once is a violation. */
  readonly #writers = new Map<string, Life>()
  #runs = 0

  at(path: string): Extent | undefined {
    return this.#now.get(path)
  }
  make(path: string): void {
    if (!this.#now.has(path)) this.#now.set(path, EMPTY)
  }
  /** Empties a directory for a layer that begins; answers the number of this beginning. */
  begin(path: string): number {
    this.#now.set(path, { ...EMPTY, run: ++this.#runs })
    return this.#runs
  }
  names(path: string): string[] {
    const below = [...this.#now.keys()].filter((one) => one.startsWith(`${path}/`))
    return [...new Set(below.map((one) => one.slice(path.length + 1).split("/", 1)[0]!))]
  }
  write(path: string, extent: Extent): void {
    this.#now.set(path, extent)
  }
  remove(path: string): void {
    for (const one of this.#now.keys()) {
      if (one === path || one.startsWith(`${path}/`)) this.#now.delete(one)
    }
  }
  barrier(path: string): void {
    const now = this.#now.get(path)
    if (now !== undefined) this.#certain.set(path, now)
  }

  open(path: string, life: Life): void {
    if (this.isOpen(path)) throw new Violation(`two writers in ${path}`)
    this.#writers.set(path, life)
  }
  close(path: string): void {
    this.#writers.delete(path)
  }
  isOpen(path: string): boolean {
    return this.#writers.get(path)?.alive === true
  }

  cut(time: Time): void {
    for (const path of new Set([...this.#now.keys(), ...this.#certain.keys()])) {
      const left = torn(time, this.#certain.get(path), this.#now.get(path))
      for (const state of [this.#now, this.#certain]) {
        if (left === undefined) state.delete(path)
        else state.set(path, left)
      }
    }
    this.#writers.clear()
  }
}

/** What a power cut leaves of a path: all, some or nothing of what was not certain. */
const torn = (
  time: Time, certain: Extent | undefined, now: Extent | undefined,
): Extent | undefined => {
  if (now === undefined) return time.chance(0.5) ? undefined : certain
  const isSame = certain === undefined || certain.run === now.run
  if (!isSame && time.chance(0.5)) return certain
  const { offset: low, whole } = isSame ? certain ?? EMPTY : EMPTY
  const offset = now.offset <= low ? now.offset : time.between(low, now.offset + 1)
  return { run: now.run, offset, whole }
}

/** A disk that is never full: what happens then is tried on real ones. */
const ROOMY = { bytes: 1e12, totalBytes: 1e12, files: null, totalFiles: 0 }

/** The simulated twin of `Directories`. */
export const simDirectories = (directories: SimDirectories): Directories["Service"] => ({
  names: (path) =>
    Effect.sync(() => {
      directories.make(path)
      return directories.names(path)
    }),
  free: () => Effect.succeed(ROOMY),
  discard: (path) => Effect.sync(() => directories.remove(path)),
})
