import {
  broken, FrameError, FRAME_HEAD_BYTES, frameLength, HEAD_BYTES, headOf, MAGIC, VERSION,
} from "./format.ts"
import type { Base } from "../base.ts"
import { checked, Workspace } from "./frame.ts"
import type { Sink } from "./frame.ts"

/** Where a decode can go on: at the front of a frame, or of the delta. Plain data. */
export interface DeltaState {
  /** Bytes of tar that are made; the next frame's must follow. */
  readonly tarPosition: number
  /** The delta's head, or its last frame, has been read. */
  readonly at: "head" | "frame" | "end"
}

/**
 * Makes a layer's tar of its delta and the base, as the delta's bytes come. Frames are gathered
 * whole, checked and carried out, so it always stands at the front of a frame, and its state is two
 * words. Holds at most a frame, its dictionary twice and its pools: some 40 MiB, mostly far less.
 */
export class DeltaDecoder {
  readonly #base: Base
  readonly #sink: Sink
  readonly #tidy: () => void
  readonly #workspace = new Workspace()
  /** What has come of the next frame, and how much of it is filled. */
  #pending = Buffer.alloc(0)
  #filled = 0
  #state: DeltaState

  /**
   * `sink` is given parts of a buffer of 128 KiB, good until it returns. `tidy` is called after
   * each frame, to collect what it left.
   */
  constructor(base: Base, sink: Sink, state?: DeltaState, tidy: () => void = () => {}) {
    this.#base = base
    this.#sink = sink
    this.#tidy = tidy
    this.#state = state ?? { tarPosition: 0, at: "head" }
  }

  /** Between two frames: the place where a decode with `state()` begins. */
  get atAnchor(): boolean {
    return this.#filled === 0
  }

  /**
   * Takes input from `from` to `to`, up to the end of one frame; answers how many bytes it used.
   * With `stop`, none between two frames. Throws `FrameError`, and what the base throws.
   */
  push(bytes: Buffer, from: number, to: number, stop = false): number {
    if (stop && this.atAnchor) return 0
    let at = from
    while (at < to) {
      if (this.#state.at === "end") throw broken("bytes behind its last frame")
      const wanted = this.#wanted()
      const taken = Math.min(wanted - this.#filled, to - at)
      this.#room(wanted)
      bytes.copy(this.#pending, this.#filled, at, at + taken)
      this.#filled += taken
      at += taken
      if (this.#filled === wanted && wanted === this.#wanted()) {
        this.#take()
        return at - from
      }
    }
    return at - from
  }

  /** The input ends here. */
  end(): void {
    if (this.#state.at !== "end") throw broken("it ends too early")
  }

  /** Of the last `atAnchor`. */
  state(): DeltaState {
    return this.#state
  }

  /** How long what is being gathered is, as far as that is known. */
  #wanted(): number {
    if (this.#state.at === "head") return HEAD_BYTES
    return this.#filled < FRAME_HEAD_BYTES ? FRAME_HEAD_BYTES : frameLength(this.#pending)
  }

  #room(length: number): void {
    if (this.#pending.length >= length) return
    const larger = Buffer.allocUnsafeSlow(length)
    this.#pending.copy(larger, 0, 0, this.#filled)
    this.#pending = larger
  }

  #take(): void {
    const taken = this.#pending.subarray(0, this.#filled)
    if (this.#state.at === "head") {
      this.#checkHead(taken)
      this.#state = { tarPosition: 0, at: "frame" }
    } else {
      const { tarPosition } = this.#state
      const head = headOf(taken)
      if (head.tarStart !== tarPosition) {
        throw broken(`a frame for ${head.tarStart} of the tar, not ${tarPosition}`)
      }
      checked(head, taken.subarray(FRAME_HEAD_BYTES), this.#base, this.#workspace, this.#sink)
      this.#state = { tarPosition: tarPosition + head.tarBytes, at: head.last ? "end" : "frame" }
      this.#tidy()
    }
    this.#filled = 0
  }

  #checkHead(head: Buffer): void {
    if (!head.subarray(0, MAGIC.length).equals(MAGIC)) throw broken("it is no delta")
    const version = head.readUInt16LE(6)
    if (version !== VERSION) throw broken(`format version ${version}, not ${VERSION}`)
    const size = Number(head.readBigUInt64LE(8))
    if (size !== this.#base.size) {
      throw new FrameError("base", `it has ${this.#base.size} bytes, not ${size}`)
    }
  }
}
