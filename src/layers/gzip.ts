import { crc32 } from "../kernel/zlib.ts"
import { InflateError, Inflater } from "../kernel/inflate.ts"
import type { Sink } from "../kernel/inflate.ts"
import { DecompressError } from "./decompressor.ts"
import type { Decompressor, DecompressState } from "./decompressor.ts"

/** Parts of a member's header (RFC 1952 section 2.3), then of the stream. */
type Phase = "fixed" | "extraLength" | "extra" | "name" | "comment" | "crc"
  | "body" | "trailer" | "between" | "zeros"

const FHCRC = 0x02
const FEXTRA = 0x04
const FNAME = 0x08
const FCOMMENT = 0x10
const RESERVED = 0xe0

/** What a resume needs beside the window; plain data. */
export interface GzipState {
  phase: Phase
  flags: number
  /** Bytes that the phase still wants. */
  wanted: number
  /** Bytes of a fixed header, extra length or trailer read so far. */
  partial: readonly number[]
  crc: number
  /** Length of what the member gave, modulo 2^32. */
  size: number
}

const start = (): GzipState =>
  ({ phase: "fixed", flags: 0, wanted: 10, partial: [], crc: 0, size: 0 })

/**
 * gzip, of any number of members, each checked against its trailer. Zeros behind the last are
 * accepted (tapes and some registries pad), anything else is damage. A checkpoint can be made at
 * the end of any deflate block, and anywhere outside the deflate data.
 */
export class Gunzip implements Decompressor {
  readonly anchored = false
  readonly #inflater: Inflater
  readonly #s: GzipState
  readonly #out: Sink

  constructor(outBytes: number, sink: Sink, state?: DecompressState) {
    this.#s = state?.gzip === undefined ? start() : { ...state.gzip }
    this.#inflater = new Inflater(outBytes, state?.inflate)
    this.#out = (bytes, from, to) => {
      this.#s.crc = crc32(bytes.subarray(from, to), this.#s.crc)
      this.#s.size = (this.#s.size + to - from) % 2 ** 32
      sink(bytes, from, to)
    }
  }

  get boundary(): boolean {
    return this.#s.phase !== "body" || this.#inflater.atBlock
  }

  push(bytes: Buffer, from: number, to: number, stop: boolean): number {
    let at = from
    while (at < to) {
      if (this.#s.phase === "body") {
        at += this.#inflate(bytes, at, to, stop)
        if (stop && this.boundary) break
      } else if (this.#s.phase === "name" || this.#s.phase === "comment") {
        const end = bytes.indexOf(0, at)
        if (end < 0 || end >= to) return to - from
        at = end + 1
        this.#next()
      } else at = this.#frame(bytes, at, to)
    }
    return at - from
  }

  end(): void {
    const { phase } = this.#s
    if (phase !== "between" && phase !== "zeros") {
      throw new DecompressError("gzip data that ends too early")
    }
  }

  state(): DecompressState {
    return {
      format: "gzip",
      gzip: { ...this.#s },
      ...this.#s.phase === "body" ? { inflate: this.#inflater.state() } : {},
    }
  }

  close(): void {
    this.#inflater.close()
  }

  #inflate(bytes: Buffer, at: number, to: number, stop: boolean): number {
    try {
      const used = this.#inflater.push(bytes, at, to, stop, this.#out)
      if (this.#inflater.ended) this.#enter("trailer", 8)
      return used
    } catch (error) {
      if (!(error instanceof InflateError)) throw error
      throw new DecompressError(`gzip data that is damaged: ${error.message}`)
    }
  }

  /** Takes bytes of what is not deflate data. */
  #frame(bytes: Buffer, at: number, to: number): number {
    const s = this.#s
    if (s.phase === "extra") {
      const skipped = Math.min(s.wanted, to - at)
      s.wanted -= skipped
      if (s.wanted === 0) this.#next()
      return at + skipped
    }
    const byte = bytes[at]!
    if (s.phase === "between") {
      if (byte === 0) this.#enter("zeros", 0)
      else this.#member()
      return at
    }
    if (s.phase === "zeros") {
      if (byte !== 0) throw new DecompressError("gzip data with something else behind it")
      return at + 1
    }
    s.partial = [...s.partial, byte]
    if (s.partial.length === s.wanted) this.#complete(Buffer.from(s.partial))
    return at + 1
  }

  #complete(part: Buffer): void {
    const s = this.#s
    if (s.phase === "trailer") {
      if (part.readUInt32LE(0) !== s.crc) {
        throw new DecompressError("gzip data whose checksum is wrong")
      }
      if (part.readUInt32LE(4) !== s.size) {
        throw new DecompressError("gzip data of another length than it says")
      }
      this.#enter("between", 0)
    } else if (s.phase === "fixed") {
      if (part[0] !== 0x1f || part[1] !== 0x8b || part[2] !== 8) {
        throw new DecompressError("gzip data with something else behind it")
      }
      s.flags = part[3]!
      if ((s.flags & RESERVED) !== 0) throw new DecompressError("gzip data with unknown flags")
      this.#next()
    } else if (s.phase === "extraLength") {
      const length = part.readUInt16LE(0)
      this.#enter("extra", length)
      if (length === 0) this.#next()
    } else this.#next()
  }

  /**
   * The next part of the header that is there. (Its own checksum is skipped: the blob's covers
   * it.)
   */
  #next(): void {
    const s = this.#s
    const take = (flag: number): boolean => {
      const present = (s.flags & flag) !== 0
      s.flags &= ~flag
      return present
    }
    if (take(FEXTRA)) this.#enter("extraLength", 2)
    else if (take(FNAME)) this.#enter("name", 0)
    else if (take(FCOMMENT)) this.#enter("comment", 0)
    else if (take(FHCRC)) this.#enter("crc", 2)
    else this.#enter("body", 0)
  }

  #member(): void {
    this.#inflater.restart()
    this.#s.crc = this.#s.size = 0
    this.#enter("fixed", 10)
  }

  #enter(phase: Phase, wanted: number): void {
    this.#s.phase = phase
    this.#s.wanted = wanted
    this.#s.partial = []
  }
}
