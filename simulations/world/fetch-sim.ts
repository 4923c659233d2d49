import type { Member } from "../../src/layers/budget.ts"
import type { FetchJob, Watch } from "../../src/layers/carrier.ts"
import { type SimDirectories, Violation } from "./disk.ts"

/** What a checkpoint holds: of what it is, and how far that has come. */
interface State {
  readonly blob: string
  readonly diffId: string
  readonly bottom: boolean
  /** Which beginning of the directory this belongs to. */
  readonly run: number
  readonly offset: number
  readonly isSpoilt: boolean
}

export type RegistrySource = FetchJob["source"] & { readonly kind: "registry" }

/** A checkpoint that fits the job; null: there is none, and the layer begins anew. */
const stateFor = (job: FetchJob, { digest }: RegistrySource): State | null => {
  if (job.checkpoint === null) return null
  let state: State
  try {
    state = JSON.parse(Buffer.from(job.checkpoint).toString())
  } catch {
    return null
  }
  const { blob, diffId, bottom } = state
  return blob === digest && diffId === job.diffId && bottom === job.bottom ? state : null
}

/** A delta that was given up before is not tried once more. */
export const chosenFor = (job: FetchJob): FetchJob => {
  if (job.whole === null || job.whole.kind !== "registry") return job
  return stateFor(job, job.whole) === null ? job : wholeFor(job, job.whole)
}

/** The layer itself in place of the delta. */
export const wholeFor = (job: FetchJob, source: FetchJob["source"]): FetchJob =>
  ({ ...job, source, base: null, whole: null })

/** A layer that is being fetched, in its open directory. */
export class Fetch implements Member {
  readonly id: number
  readonly job: FetchJob
  readonly source: RegistrySource
  readonly watch: Watch
  readonly #directories: SimDirectories
  readonly #run: number
  #offset = 0
  /** As of the last checkpoint. */
  #kept = 0
  #isSpoilt = false

  constructor(needs: {
    readonly id: number
    readonly job: FetchJob
    readonly source: RegistrySource
    readonly watch: Watch
    readonly directories: SimDirectories
  }) {
    this.id = needs.id
    this.job = needs.job
    this.source = needs.source
    this.watch = needs.watch
    this.#directories = needs.directories
    this.#run = this.#begin(stateFor(needs.job, needs.source))
  }

  /** As the checkpoint left the directory, or empty. Answers the number of that beginning. */
  #begin(state: State | null): number {
    const { directory, job } = this.job
    const there = this.#directories.at(directory)
    if (state === null || there?.run !== state.run) return this.#directories.begin(directory)
    if (state.offset > there.offset) {
      throw new Violation(`${job}: checkpoint ${state.offset}, on the disk ${there.offset}`)
    }
    this.#kept = this.#offset = state.offset
    this.#isSpoilt = state.isSpoilt
    this.#directories.write(directory, { run: state.run, offset: state.offset, whole: false })
    return state.run
  }

  get left(): number {
    return this.source.size - this.#offset
  }
  get isSpoilt(): boolean {
    return this.#isSpoilt
  }
  taken(): number {
    return this.#offset
  }
  output(): number {
    return this.#offset - this.#kept
  }

  /** A delta's base, which must stay whole as long as it is read; null: all is well. */
  get lacking(): string | null {
    const { base } = this.job
    return base?.find((directory) => this.#directories.at(directory)?.whole !== true) ?? null
  }

  take(bytes: number, isSpoilt: boolean): void {
    this.#offset += bytes
    this.#isSpoilt ||= isSpoilt
    this.#write(false)
    this.watch.progress(this.#offset, this.source.size)
  }
  finish(): void {
    this.#write(true)
  }

  state(): Uint8Array {
    this.#kept = this.#offset
    const { diffId, bottom } = this.job
    const state: State = {
      blob: this.source.digest,
      diffId,
      bottom,
      run: this.#run,
      offset: this.#offset,
      isSpoilt: this.#isSpoilt,
    }
    return Buffer.from(JSON.stringify(state))
  }

  #write(whole: boolean): void {
    this.#directories.write(this.job.directory, { run: this.#run, offset: this.#offset, whole })
  }
}
