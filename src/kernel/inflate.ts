import koffi from "koffi"
import { bind } from "./libc.ts"

/*
 * The zlib inside Node, by its own C interface (zlib.h), because node:zlib can neither stop at a
 * deflate block's end nor give its state away. Raw deflate only: what wraps it (gzip) is parsed by
 * the caller, as after a resume it must be anyway.
 */
const init = bind("int inflateInit2_(void *z, int windowBits, const char *version, int size)")
const run = bind("int inflate(void *z, int flush)")
const reset = bind("int inflateReset(void *z)")
const end = bind("int inflateEnd(void *z)")
const prime = bind("int inflatePrime(void *z, int bits, int value)")
const getDictionary = bind("int inflateGetDictionary(void *z, void *bytes, void *length)")
const setDictionary =
  bind("int inflateSetDictionary(void *z, const void *bytes, unsigned int length)")
const zlibVersion = bind("const char *zlibVersion()")

/** The version of the library whose state `Inflater` hands out. */
export const inflateVersion: string = zlibVersion()

const [Z_NO_FLUSH, Z_BLOCK] = [0, 5]
const [Z_OK, Z_STREAM_END, Z_BUF_ERROR] = [0, 1, -5]
const WINDOW = 32 << 10

/** Where the fields of z_stream lie: pointers and longs are as wide as the machine. */
const wide = koffi.sizeof("void *") === 8
const Z = wide
  ? { nextIn: 0, availIn: 8, nextOut: 24, availOut: 32, dataType: 88, size: 112 }
  : { nextIn: 0, availIn: 4, nextOut: 12, availOut: 16, dataType: 44, size: 56 }

const putAddress = (at: Buffer, offset: number, address: bigint): void => {
  if (wide) at.writeBigUInt64LE(address, offset)
  else at.writeUInt32LE(Number(address), offset)
}

/** All that inflating depends on at the end of a deflate block. */
export interface InflateState {
  /** Bits of the last byte that are not yet used, and their value. */
  readonly bits: number
  readonly prime: number
  /** The last 32 KiB (or fewer) of what came out. */
  readonly window: Buffer
}

/** Takes what was inflated: `bytes` from `start` to `end`, good only until it returns. */
export type Sink = (bytes: Buffer, start: number, end: number) => void

/** Bytes that deflate cannot have written. */
export class InflateError extends Error {}

/**
 * Inflates one raw deflate stream (RFC 1951). Must be closed: zlib's memory is not the
 * collector's.
 */
export class Inflater {
  readonly #z = Buffer.allocUnsafeSlow(128).fill(0)
  readonly #out: Buffer
  readonly #outAddress: bigint
  #lastByte = 0
  #bits = 0
  /** At a block's end: the state can be taken. */
  atBlock = true
  /** The stream's last block is behind us. */
  ended = false

  /** `outBytes`: size of the one buffer that `sink` is given parts of. */
  constructor(outBytes: number, state?: InflateState) {
    this.#out = Buffer.allocUnsafeSlow(outBytes)
    this.#outAddress = koffi.address(this.#out)
    if (init(this.#z, -15, inflateVersion, Z.size) !== Z_OK) throw new Error("inflateInit2 failed")
    if (state === undefined) return
    if (state.bits > 0) prime(this.#z, state.bits, state.prime)
    if (state.window.length > 0) setDictionary(this.#z, state.window, state.window.length)
    this.#bits = state.bits
    this.#lastByte = state.prime << 8 - state.bits
  }

  /** Ready for another stream. */
  restart(): void {
    reset(this.#z)
    this.#bits = 0
    this.atBlock = true
    this.ended = false
  }

  /**
   * Inflates input from `start` to `end` into `sink`, up to the stream's end, or with `stop` up to
   * the next block's end. Answers how many bytes of input were used.
   */
  push(input: Buffer, start: number, end: number, stop: boolean, sink: Sink): number {
    const z = this.#z
    const out = this.#out
    if (start === end || this.ended) return 0
    putAddress(z, Z.nextIn, koffi.address(input) + BigInt(start))
    z.writeUInt32LE(end - start, Z.availIn)
    for (;;) {
      putAddress(z, Z.nextOut, this.#outAddress)
      z.writeUInt32LE(out.length, Z.availOut)
      const result = run(z, stop ? Z_BLOCK : Z_NO_FLUSH)
      if (result !== Z_OK && result !== Z_STREAM_END && result !== Z_BUF_ERROR) {
        throw new InflateError(`it is not deflate data (zlib: ${result})`)
      }
      const availIn = z.readUInt32LE(Z.availIn)
      const availOut = z.readUInt32LE(Z.availOut)
      const used = end - start - availIn
      if (used > 0) this.#lastByte = input[start + used - 1]!
      const dataType = z.readInt32LE(Z.dataType)
      this.#bits = dataType & 7
      this.ended = result === Z_STREAM_END
      this.atBlock = (dataType & 0xc0) === 0x80
      if (availOut < out.length) sink(out, 0, out.length - availOut)
      const starved = availIn === 0 && availOut > 0
      if (this.ended || starved || result === Z_BUF_ERROR || stop && this.atBlock) return used
    }
  }

  /** The state at a block's end. */
  state(): InflateState {
    if (!this.atBlock) throw new Error("inflate: in the middle of a block")
    const window = Buffer.alloc(WINDOW)
    const length = Buffer.alloc(4)
    getDictionary(this.#z, window, length)
    const bits = this.#bits
    return {
      bits,
      prime: bits === 0 ? 0 : this.#lastByte >> 8 - bits,
      window: Buffer.from(window.subarray(0, length.readUInt32LE(0))),
    }
  }

  close(): void {
    end(this.#z)
  }
}
