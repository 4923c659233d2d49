import { Apply } from "../delta/apply.ts"
import type { Base } from "../delta/base.ts"
import type { Sink } from "../kernel/inflate.ts"
import { decompressor } from "./decompress.ts"
import type { Decompressor, DecompressState } from "./decompressor.ts"

/** Of the blob at once: what comes out and cannot go on yet must be kept. */
const INPUT_BYTES = 4 << 10
/** A few bytes of a delta can be gigabytes of a tar: so many are made at once. */
const MADE_BYTES = 4 << 20

/**
 * A delta layer's blob, decompressed and applied to its base: what comes out is the tar that the
 * layer has.
 */
export class Patched implements Decompressor {
  readonly #inner: Decompressor
  readonly #apply: Apply
  /** Decompressed, and waiting for what is before it to be made. */
  #rest: Buffer

  constructor(base: Base, state: DecompressState, sink: Sink, outBytes: number) {
    this.#apply = new Apply(base, sink, state.delta?.apply)
    this.#rest = Buffer.from(state.delta?.rest ?? "", "base64")
    this.#inner = decompressor(state, (out, from, to) => {
      const used = this.owing ? 0 : this.#apply.push(out, from, to, MADE_BYTES)
      if (from + used < to) this.#rest = Buffer.concat([this.#rest, out.subarray(from + used, to)])
    }, outBytes)
  }

  /** Is there more to be made of what has been taken? Then `push` does that first. */
  get owing(): boolean {
    return this.#rest.length > 0 || this.#apply.copying
  }

  push(bytes: Buffer, from: number, to: number, stop: boolean): number {
    if (!this.owing) return this.#inner.push(bytes, from, Math.min(to, from + INPUT_BYTES), stop)
    const used = this.#apply.push(this.#rest, 0, this.#rest.length, MADE_BYTES)
    this.#rest = this.#rest.subarray(used)
    return 0
  }

  get boundary(): boolean {
    return this.#inner.boundary
  }
  get anchored(): boolean {
    return this.#inner.anchored
  }
  get atAnchor(): boolean {
    return this.#inner.atAnchor === true
  }
  end(): void {
    this.#inner.end()
    this.#apply.end()
  }
  state(): DecompressState {
    const rest = this.#rest.toString("base64")
    return { ...this.#inner.state(), delta: { apply: this.#apply.state(), rest } }
  }
  close(): void {
    this.#inner.close()
  }
}
