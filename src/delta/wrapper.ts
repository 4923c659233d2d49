import { tarPadding, ustarHeader } from "../oci/ustar.ts"
import { DeltaError } from "./base.ts"

/** In what a delta travels as a layer: a tar of one entry. */

const BLOCK = 512
const END_BYTES = 2 * BLOCK

/** A layer of nothing: what stands for one that the base image has, too. Never fetched. */
export const EMPTY_LAYER = Buffer.alloc(END_BYTES)

/** What stands before a delta of `size` bytes, byte for byte as balenaEngine writes it. */
export const wrapperHead = (size: number): Buffer => ustarHeader("delta", size, false, 0o600)

/** What stands behind a delta of `size` bytes. */
export const wrapperTail = (size: number): Buffer =>
  Buffer.concat([tarPadding(size), EMPTY_LAYER])

/** Where a reader of a wrapper stands; plain data. */
export interface WrapperState {
  phase: "header" | "skip" | "delta" | "ended"
  /** What has been read of a header, in hexadecimal. */
  partial: string
  /** Bytes to be skipped, or of the delta to come. */
  left: number
}

/** Headers that say more of the entry behind them: PAX, GNU's long names. */
const EXTENSIONS = "xgLK"

/**
 * Finds the delta in its wrapper: the content of the first entry, whatever its name is. Throws
 * `DeltaError`.
 */
export class WrapperReader {
  readonly #s: WrapperState
  readonly #header = Buffer.alloc(BLOCK)
  #filled: number

  constructor(state?: WrapperState) {
    this.#s = { phase: "header", partial: "", left: 0, ...state }
    this.#filled = this.#header.write(this.#s.partial, "hex")
  }

  /** How many of the next bytes are of the delta; 0: `take` them. */
  get left(): number {
    return this.#s.phase === "delta" ? this.#s.left : 0
  }

  /** Takes what is not of the delta, from `start` to `end`; answers how many bytes it used. */
  take(bytes: Buffer, start: number, end: number): number {
    const s = this.#s
    let at = start
    while (at < end && s.phase !== "delta") {
      if (s.phase === "ended") at = end
      else if (s.phase === "skip") {
        const skipped = Math.min(s.left, end - at)
        at += skipped
        s.left -= skipped
        if (s.left === 0) s.phase = "header"
      } else at = this.#gather(bytes, at, end)
    }
    return at - start
  }

  /** Says that so many bytes of the delta have gone by. */
  passed(length: number): void {
    this.#s.left -= length
    if (this.#s.phase === "delta" && this.#s.left === 0) this.#s.phase = "ended"
  }

  /** The wrapper ends here: an error, unless there was a delta in it. */
  end(): void {
    const { phase } = this.#s
    if (phase !== "delta" && phase !== "ended") throw noDelta()
  }

  state(): WrapperState {
    return { ...this.#s, partial: this.#header.toString("hex", 0, this.#filled) }
  }

  #gather(bytes: Buffer, at: number, end: number): number {
    const to = Math.min(end, at + BLOCK - this.#filled)
    this.#filled += bytes.copy(this.#header, this.#filled, at, to)
    if (this.#filled === BLOCK) this.#take()
    return to
  }

  #take(): void {
    const s = this.#s
    this.#filled = 0
    const sum = this.#header.reduce((all, byte, n) => all + (n < 148 || n > 155 ? byte : 32), 0)
    if (this.#octal(148, 8) !== sum) throw noDelta()
    const type = String.fromCharCode(this.#header[156]!)
    const size = this.#size()
    if (EXTENSIONS.includes(type)) {
      s.left = Math.ceil(size / BLOCK) * BLOCK
      s.phase = s.left > 0 ? "skip" : "header"
    } else if ("0\0".includes(type) && size > 0) {
      s.left = size
      s.phase = "delta"
    } else throw noDelta()
  }

  /** In octal, or in GNU's base 256 where it does not fit. */
  #size(): number {
    if ((this.#header[124]! & 0x80) === 0) return this.#octal(124, 12)
    const size = this.#header.readBigUInt64BE(128)
    if (this.#header.readUInt32BE(124) !== 0x80000000 || size > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw noDelta()
    }
    return Number(size)
  }

  #octal(at: number, length: number): number {
    const digits = /^ *([0-7]*)[ \0]/.exec(this.#header.toString("latin1", at, at + length))
    if (digits === null) throw noDelta()
    return digits[1] === "" ? 0 : Number.parseInt(digits[1]!, 8)
  }
}

const noDelta = () => new DeltaError("unexpected EOF, invalid delta tar archive")
