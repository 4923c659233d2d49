import { type Base, DeltaError, type Sink } from "./base.ts"
import { DeltaDecoder, type DeltaState } from "./own/decode.ts"
import { MAGIC } from "./own/format.ts"
import { Patch, type PatchState } from "./patch.ts"
import { WrapperReader, type WrapperState } from "./wrapper.ts"

/** Where the application of a delta stands; plain data, good in JSON. */
export interface ApplyState {
  readonly wrapper: WrapperState
  /** Of balenaEngine's format, or of ours; neither is there before the delta's first byte. */
  readonly patch?: PatchState
  readonly frames?: DeltaState
}

/** Making so much of a tar leaves garbage that is worth a collection. */
const UNTIDY_BYTES = 4 << 20

/**
 * A delta layer becomes the layer's tar: decompressed bytes of its blob are pushed, the target's go
 * to the sink. Which format the delta has is told by its first byte. Stands between a decompressor
 * and what hashes and reads the tar; like them it is synchronous. One base can serve several at
 * once. The target's digest is for the caller to check.
 *
 * Throws `DeltaError`, and whatever reading the base throws; then it is of no more use.
 */
export class Apply {
  readonly #base: Base
  readonly #sink: Sink
  readonly #tidy: () => void
  readonly #wrapper: WrapperReader
  #patch: Patch | null = null
  #frames: DeltaDecoder | null = null
  /** Bytes that a patch has made since the last tidying. */
  #untidy = 0
  /** As of the last place between two frames. */
  #anchor: ApplyState

  /** `tidy` is called where memory has become garbage. */
  constructor(base: Base, sink: Sink, state?: ApplyState, tidy: () => void = () => {}) {
    this.#base = base
    this.#sink = sink
    this.#tidy = tidy
    this.#wrapper = new WrapperReader(state?.wrapper)
    if (state?.patch !== undefined) this.#patch = new Patch(base, sink, state.patch)
    if (state?.frames !== undefined) this.#frames = this.#framed(state.frames)
    this.#anchor = state ?? { wrapper: this.#wrapper.state() }
  }

  /** Is there something to do even without more input? (`Patch`) */
  get copying(): boolean {
    return this.#patch?.copying === true
  }

  /**
   * Is it made of frames? Then a state is that of the last place between two of them, and what has
   * come since must come again.
   */
  get isFramed(): boolean {
    return this.#frames !== null
  }
  /** Is this such a place? */
  get atAnchor(): boolean {
    return this.#frames?.atAnchor === true
  }

  /**
   * Takes input from `start` to `end`; answers how much it used, at most to the end of a frame. Few
   * bytes can make gigabytes: to come up for air, give `most`, and call it again with the rest
   * while there is some or it is `copying`.
   */
  push(bytes: Buffer, start: number, end: number, most = Infinity): number {
    const air = { left: most }
    let at = start
    while ((at < end || this.copying) && air.left > 0) {
      if (this.#wrapper.left === 0 && !this.copying) {
        at += this.#wrapper.take(bytes, at, end)
        continue
      }
      const to = Math.min(end, at + this.#wrapper.left)
      this.#begin(bytes[at] ?? 0)
      const used = this.#frames?.push(bytes, at, to) ?? this.#copy(bytes, at, to, air)
      this.#wrapper.passed(used)
      at += used
      if (this.atAnchor) {
        this.#anchor = { wrapper: this.#wrapper.state(), frames: this.#frames!.state() }
        break
      }
    }
    return at - start
  }

  /** The input ends here: an error, unless the delta is whole and all of it was made. */
  end(): void {
    this.#wrapper.end()
    const made = this.#patch ?? this.#frames
    if (made === null) throw new DeltaError("unexpected EOF")
    made.end()
  }

  state(): ApplyState {
    if (this.isFramed) return this.#anchor
    const wrapper = this.#wrapper.state()
    return this.#patch === null ? { wrapper } : { wrapper, patch: this.#patch.state() }
  }

  #begin(first: number): void {
    if (this.#patch !== null || this.#frames !== null) return
    if (first === MAGIC[0]) this.#frames = this.#framed()
    else this.#patch = new Patch(this.#base, this.#sink)
  }

  #framed(state?: DeltaState): DeltaDecoder {
    return new DeltaDecoder(this.#base, this.#sink, state, this.#tidy)
  }

  #copy(bytes: Buffer, at: number, to: number, air: { left: number }): number {
    const patch = this.#patch!
    const before = patch.position
    const used = patch.push(bytes, at, to, air.left)
    const made = patch.position - before
    air.left -= made
    this.#untidy += made
    if (this.#untidy >= UNTIDY_BYTES) {
      this.#tidy()
      this.#untidy = 0
    }
    return used
  }
}
