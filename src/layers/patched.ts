import { Apply } from "../delta/apply.ts"
import type { Base } from "../delta/base.ts"
import type { Sink } from "../kernel/inflate.ts"
import { tidy } from "../kernel/memory.ts"
import { decompressor } from "./decompress.ts"
import type { Decompressor, DecompressState } from "./decompressor.ts"

/** Of the blob at once: what comes out and cannot go on yet must be kept. */
const INPUT_BYTES = 4 << 10
/** A few bytes of a delta can be gigabytes of a tar: so many are made at once. */
const MADE_BYTES = 4 << 20

/** Where the application of a delta stands. */
export type PatchedState = NonNullable<DecompressState["delta"]>

const FRESH: PatchedState = { rest: "", skip: 0 }

/**
 * A delta layer's blob, decompressed and applied to its base: what comes out is the tar that the
 * layer has. One of frames that is not compressed as a whole goes on at a frame; where it is, it
 * begins again with its first byte, and what it had made is dropped.
 */
export class Patched implements Decompressor {
  /** Null: the blob is the delta's tar as it is. */
  readonly #inner: Decompressor | null
  /** Where this began: a delta of frames inside of a compression begins again there. */
  readonly #origin: DecompressState
  readonly #apply: Apply
  /** Decompressed, and waiting for what is before it to be made. */
  #rest: Buffer
  /** Of the tar: made since the delta's first byte, and to be dropped as it was made before. */
  #made = 0
  readonly #skip: number

  constructor(base: Base, state: DecompressState, sink: Sink, outBytes: number) {
    const { apply, rest, skip } = state.delta ?? FRESH
    this.#origin = state
    this.#skip = skip
    this.#apply = new Apply(base, (bytes, from, to) => {
      const dropped = Math.min(Math.max(0, this.#skip - this.#made), to - from)
      this.#made += to - from
      if (from + dropped < to) sink(bytes, from + dropped, to)
    }, apply, tidy)
    this.#rest = Buffer.from(rest, "base64")
    this.#inner = state.format === "plain" ? null : decompressor(state, (out, from, to) => {
      const used = this.owing ? 0 : this.#push(out, from, to)
      if (from + used < to) this.#rest = Buffer.concat([this.#rest, out.subarray(from + used, to)])
    }, outBytes)
  }

  /** Is there more to be made of what has been taken? Then `push` does that first. */
  get owing(): boolean {
    return this.#rest.length > 0 || this.#apply.copying
  }

  push(bytes: Buffer, from: number, to: number, stop: boolean): number {
    if (!this.owing) {
      if (this.#inner === null) return stop ? 0 : this.#apply.push(bytes, from, to, MADE_BYTES)
      return this.#inner.push(bytes, from, Math.min(to, from + INPUT_BYTES), stop)
    }
    this.#rest = this.#rest.subarray(this.#push(this.#rest, 0, this.#rest.length))
    return 0
  }

  get boundary(): boolean {
    return this.#inner?.boundary ?? true
  }
  get anchored(): boolean {
    return this.#apply.isFramed || this.#inner?.anchored === true
  }
  get atAnchor(): boolean {
    if (this.#apply.isFramed) return this.#inner === null && this.#apply.atAnchor
    return this.#inner?.atAnchor === true
  }
  end(): void {
    this.#inner?.end()
    this.#apply.end()
  }
  state(): DecompressState {
    if (this.#apply.isFramed && this.#inner !== null) {
      const skip = Math.max(this.#made, this.#skip)
      return { ...this.#origin, delta: { ...this.#origin.delta ?? FRESH, skip } }
    }
    const inner = this.#inner?.state() ?? { format: this.#origin.format }
    const rest = this.#rest.toString("base64")
    return { ...inner, delta: { apply: this.#apply.state(), rest, skip: 0 } }
  }
  close(): void {
    this.#inner?.close()
  }

  /** As far as it goes at once; a frame's end is no reason to stop. */
  #push(bytes: Buffer, from: number, to: number): number {
    let at = from
    for (let used = -1; used !== 0 && at < to;) {
      used = this.#apply.push(bytes, at, to, MADE_BYTES)
      at += used
      if (!this.#apply.isFramed) break
    }
    if (at === from && this.#apply.copying) this.#apply.push(bytes, to, to, MADE_BYTES)
    return at - from
  }
}
