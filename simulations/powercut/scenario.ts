import { mkdirSync, watch } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { balena } from "../bench/engines/balena.ts"
import { startDaemon, type Daemon } from "../bench/engines/engine.ts"
import { blobBytes, type BuiltImage } from "../images/image.ts"
import { audit, type Audit } from "./audit.ts"
import type { Cut, Disk } from "./disk.ts"
import { readReference, unlike, type Reference } from "./layers.ts"
import type { Rig } from "./rig.ts"
import type { Dice } from "./seeded.ts"

/** What came of one cut. */
export interface Finding {
  readonly label: string
  /** What must not be; empty: all was well. */
  readonly violations: readonly string[]
  /** Blob bytes sent after the cut beyond what was missing; null: not a matter of this cut. */
  readonly refetched: number | null
  /** What the disk held: for the summary's groups. */
  readonly kind: string
  /** The end of what the revived engine logged. */
  readonly log: string
}

/** What a check has found so far; each scenario fills one in. */
export interface Draft {
  label: string
  readonly violations: string[]
  refetched: number | null
  kind: string
  log: string
}

/** What cuts of one run have in common when they are checked. */
export interface Trials {
  readonly rig: Rig
  readonly reference: Reference
  /** Has work done while no other trial's engine runs. Default: the others do not matter. */
  readonly alone?: <A>(work: () => Promise<A>) => Promise<A>
}

/**
 * Revives the engine on a cut's copy, lets `judge` write down what it finds, ends the engine, and
 * looks for what has been left behind and whether every layer is whole. Whatever is thrown on the
 * way is a violation.
 */
export const examine = async (
  { rig, reference, alone = (work) => work() }: Trials,
  cut: Cut,
  name: string,
  judge: (revived: Revived, draft: Draft) => Promise<void>,
): Promise<Finding> => {
  const draft: Draft = { label: cut.label, violations: [], refetched: null, kind: "?", log: "" }
  const blame = (fault: unknown) =>
    draft.violations.push(fault instanceof Error ? fault.message : String(fault))
  const live = async (dataRoot: string): Promise<Audit> => {
    await using revived = await revive(rig, dataRoot, name)
    try {
      await judge(revived, draft)
      return await revived.ended()
    } finally {
      draft.log = `${revived.daemon.machine.log().slice(-8000)}${revived.states()}`
    }
  }
  try {
    await using volume = await cut.mount()
    const left = await alone(() => live(dataRootOf(volume.mountPoint)))
    draft.violations.push(...restless(left), ...await unlike(reference, left.layers))
  } catch (fault) {
    blame(fault)
  }
  if (draft.violations.length === 0) await cut.fsck().catch(blame)
  return draft
}

/** Answers a function that does what it is given one after another. */
export const inTurn = () => {
  let last: Promise<unknown> = Promise.resolve()
  return <A>(work: () => Promise<A>): Promise<A> => {
    const mine = last.then(work)
    last = mine.catch(() => {})
    return mine
  }
}

/** One cut that is still to be checked. */
export interface Trial {
  readonly cut: Cut
  readonly check: () => Promise<Finding>
}

/** Ends a run by cutting its power for good, and reads what it left undisturbed. */
export const referenceOf = async (rig: Rig, daemon: Daemon): Promise<Reference> => {
  await daemon.machine.cut()
  const left = audit(daemon.place.dataRoot, join(rig.root, "reference.audit"))
  return readReference(left?.layers ?? [])
}

/** A workload on a disk whose power is cut: runs once, answers `count` cuts of it to be checked. */
export type Scenario = (rig: Rig, dice: Dice, count: number, round: number) => Promise<Round>

/** What one run left to be checked. Disposing it drops the disk and all that served it. */
export interface Round extends AsyncDisposable {
  readonly trials: readonly Trial[]
}

/** A disk with room for an image and, while it is loaded, the archive of it: no more to check. */
export const diskFor = (image: BuiltImage): { sizeMiB: number; spaceMiB: number } => {
  const blobMiB = Math.ceil(blobBytes(image) / 2 ** 20)
  return { sizeMiB: 512 + 8 * blobMiB, spaceMiB: 4096 + 128 * blobMiB }
}

export const dataRootOf = (mountPoint: string): string => join(mountPoint, "data")

/**
 * Takes the cuts of one run, never two at a time: `know` says, just before each, what had been
 * promised by then. Cuts near the journal come within 5 ms of a change to the log of the database.
 */
export class Cutter<Known> {
  readonly taken: { readonly cut: Cut; readonly known: Known }[] = []
  readonly #disk: Disk
  readonly #dice: Dice
  readonly #know: () => Known
  readonly #count: number
  #busy = false

  constructor(disk: Disk, dice: Dice, count: number, know: () => Known) {
    this.#disk = disk
    this.#dice = dice
    this.#count = count
    this.#know = know
  }

  get left(): number {
    return this.#count - this.taken.length
  }

  /** Cuts now, unless a cut is being taken or enough have been. */
  async take(why: string): Promise<void> {
    if (this.#busy || this.left <= 0) return
    this.#busy = true
    try {
      const known = this.#know()
      const cut = await this.#disk.cut(why)
      this.taken.push({ cut, known })
    } finally {
      this.#busy = false
    }
  }

  /**
   * Cuts at instants that `position` passes on the way to `end`, for as long as the work goes on:
   * half of all cuts, if they find their place. Returns with the work.
   */
  async along(work: Promise<unknown>, position: () => number, end: number): Promise<void> {
    let done = false
    const working = work.finally(() => (done = true))
    working.catch(() => {}) // it is awaited below
    const instants = Array.from({ length: Math.ceil(this.#count / 2) }, () => this.#dice.next())
      .map((share) => share * end)
      .toSorted((one, other) => one - other)
    while (!done && instants.length > 0 && this.left > 0) {
      if (position() >= (instants[0] ?? 0)) {
        instants.shift()
        await this.take("instant")
      } else await Promise.race([sleep(1), working])
    }
    await working
  }

  /**
   * Cuts at some of the moments at which the journal is written: `share` of them, as it is then.
   */
  watchJournal(share: () => number): Disposable {
    const dataRoot = dataRootOf(this.#disk.mountPoint)
    mkdirSync(dataRoot, { recursive: true })
    const watcher = watch(dataRoot, (_, name) => {
      if (name === null || !name.startsWith("engine.db")) return
      if (this.#dice.next() >= share()) return
      const delayMs = this.#dice.below(3) === 0 ? 0 : this.#dice.next() * 5
      if (delayMs === 0) void this.take("journal")
      else void sleep(delayMs).then(() => this.take("journal"))
    })
    return { [Symbol.dispose]: () => watcher.close() }
  }

  /** Cuts at instants drawn between now and `withinMs`, until enough have been taken. */
  async rest(withinMs: number): Promise<void> {
    while (this.left > 0) {
      await sleep(this.#dice.next() * withinMs)
      await this.take("after")
    }
  }
}

/** A copy of the disk with this engine started on it, as on a device whose power is back. */
export interface Revived extends AsyncDisposable {
  readonly daemon: Daemon
  /** What the data root held before the engine saw it; null: no database yet. */
  readonly before: Audit | null
  /** What happened last and where each machine stands, a line each. */
  readonly states: () => string
  /** Ends the engine in order and reads what it leaves. */
  readonly ended: () => Promise<Audit>
}

/** Reads the database of a cut's copy and starts the engine on it. */
const revive = async (rig: Rig, dataRoot: string, name: string): Promise<Revived> => {
  const scratch = join(rig.root, `${name}.audit`)
  const before = audit(dataRoot, scratch)
  const daemon = await startDaemon(rig, balena, { name, dataRoot })
  const ended = async (): Promise<Audit> => {
    await atRest(dataRoot, scratch)
    const code = await daemon.stop()
    if (code !== 0) throw new Error(`SIGTERM ended the daemon with ${code}`)
    const after = audit(dataRoot, scratch)
    if (after === null) throw new Error("the daemon left no database")
    return after
  }
  const states = (): string => {
    try {
      const { machines = [], recent = [] } = audit(dataRoot, scratch) ?? {}
      const values = [...machines].map(([address, { value }]) =>
        `${address} is ${JSON.stringify(value)}`)
      return [...recent.toReversed(), ...values, ""].join("\n")
    } catch (torn) {
      return String(torn)
    }
  }
  return { daemon, before, states, ended, [Symbol.asyncDispose]: daemon.machine.cut }
}

/**
 * Waits until nothing is left to do: what follows an answer (a removed container's files) is work
 * as well. A copy of a database that is being written may be torn; then the next look decides. What
 * never comes to rest is for the audit to name.
 */
const atRest = async (dataRoot: string, scratch: string): Promise<void> => {
  for (let looks = 0; looks < 200; looks++) {
    try {
      const found = audit(dataRoot, scratch)
      if (found !== null && restless(found).length === 0) return
    } catch {
      // torn
    }
    await sleep(100)
  }
}

/** Work at a low priority may find no processor for long where others keep them all busy. */
const PATIENCE_MS = 300_000

/** Waits for `ready`; throws when `progress` has not changed for five minutes. */
export const waitFor = async (
  what: string,
  ready: () => Promise<boolean>,
  progress: () => unknown = () => 0,
): Promise<void> => {
  let last = progress()
  let since = performance.now()
  while (!(await ready())) {
    if (progress() !== last) {
      last = progress()
      since = performance.now()
    }
    if (performance.now() - since > PATIENCE_MS) throw new Error(`${what}: nothing for 5 minutes`)
    await sleep(50)
  }
}

/** What an audit finds wrong in a data root in which everything has come to rest. */
export const restless = ({ leaks, unsound, unfinished }: Audit): readonly string[] =>
  [...leaks, ...unsound, ...unfinished]
