import type { Base, Sink } from "./base.ts"
import { Patch, type PatchState } from "./patch.ts"
import { WrapperReader, type WrapperState } from "./wrapper.ts"

/** Where the application of a delta stands; plain data, good in JSON. */
export interface ApplyState {
  readonly wrapper: WrapperState
  readonly patch: PatchState
}

/**
 * A delta layer becomes the layer's tar: decompressed bytes of its blob are pushed, the target's go
 * to the sink. Stands between a decompressor and what hashes and reads the tar; like them it is
 * synchronous, and its state can be taken between any two pushes, to go on behind what was used.
 * One base can serve several at once. The target's digest is for the caller to check.
 *
 * Throws `DeltaError`, and whatever reading the base throws; then it is of no more use.
 */
export class Apply {
  readonly #wrapper: WrapperReader
  readonly #patch: Patch

  constructor(base: Base, sink: Sink, state?: ApplyState) {
    this.#wrapper = new WrapperReader(state?.wrapper)
    this.#patch = new Patch(base, sink, state?.patch)
  }

  /** Bytes of the target that have been put on. */
  get position(): number {
    return this.#patch.position
  }

  /** Is there something to do even without more input? (`Patch`) */
  get copying(): boolean {
    return this.#patch.copying
  }

  /**
   * Takes input from `start` to `end`; answers how much it used. Few bytes can make gigabytes: to
   * come up for air, give `most`, and call it again with the rest while there is some or it is
   * `copying`.
   */
  push(bytes: Buffer, start: number, end: number, most = Infinity): number {
    const until = this.#patch.position + most
    let at = start
    while (at < end || this.#patch.copying) {
      const left = until - this.#patch.position
      if (left <= 0) break
      if (this.#wrapper.left === 0 && !this.#patch.copying) {
        at += this.#wrapper.take(bytes, at, end)
      } else {
        const to = Math.min(end, at + this.#wrapper.left)
        const used = this.#patch.push(bytes, at, to, left)
        this.#wrapper.passed(used)
        at += used
      }
    }
    return at - start
  }

  /** The input ends here: an error, unless the delta is whole and all of it was made. */
  end(): void {
    this.#wrapper.end()
    this.#patch.end()
  }

  state(): ApplyState {
    return { wrapper: this.#wrapper.state(), patch: this.#patch.state() }
  }
}
