import type { Sink } from "./base.ts"

/**
 * librsync's delta format (librsync, `src/prototab.c` and `src/delta.c`), as balenaEngine has it:
 * a magic number, then commands, each an opcode with big-endian parameters of 1, 2, 4 or 8 bytes.
 */
export const MAGIC = 0x72730236
export const MAGIC_LENGTH = 4

/** No more commands. */
export const END = 0x00
/** `01`..`40`: as many bytes follow. balenaEngine reads it, and never writes it. */
export const SHORT_MAX = 0x40
/** `41`..`44`: a length, then as many bytes. */
export const LITERAL = 0x41
/** `45`..`54`: a position in the base, then a length; four widths of each. */
export const COPY = 0x45
export const COPY_MAX = 0x54

/** Longest command without the bytes that follow it. */
export const COMMAND_MAX = 17
/** A literal is not longer than this, so that nobody has to keep more. */
export const LITERAL_BYTES_MAX = 16 << 20

/** Number of the smallest width that a value fits into: 1, 2, 4 or 8 bytes. */
const widthOf = (value: number): number =>
  value <= 0xff ? 0 : value <= 0xffff ? 1 : value <= 0xffffffff ? 2 : 3

const OUT_BYTES = 64 << 10

/**
 * Writes commands into a sink: each parameter as short as can be, copies that continue one another
 * as one. Call `end` at the end.
 */
export class CommandWriter {
  readonly #sink: Sink
  readonly #out = Buffer.allocUnsafeSlow(OUT_BYTES)
  #filled: number
  /** A copy that may still grow. */
  #position = 0
  #length = 0

  constructor(sink: Sink) {
    this.#sink = sink
    this.#filled = this.#out.writeUInt32BE(MAGIC)
  }

  /** Bytes of the target, as they are. */
  literal(bytes: Buffer, start: number, end: number): void {
    this.#closeCopy()
    for (let at = start; at < end;) {
      const length = Math.min(LITERAL_BYTES_MAX, end - at)
      this.#room(COMMAND_MAX)
      this.#literalHead(length)
      if (length <= OUT_BYTES - this.#filled) {
        this.#filled += bytes.copy(this.#out, this.#filled, at, at + length)
      } else {
        this.#flush()
        this.#sink(bytes, at, at + length)
      }
      at += length
    }
  }

  /** `length` bytes of the base, from `position` on. */
  copy(position: number, length: number): void {
    if (this.#length > 0 && this.#position + this.#length === position) {
      this.#length += length
      return
    }
    this.#closeCopy()
    this.#position = position
    this.#length = length
  }

  end(): void {
    this.#closeCopy()
    this.#room(1)
    this.#out[this.#filled++] = END
    this.#flush()
  }

  #closeCopy(): void {
    if (this.#length === 0) return
    this.#room(COMMAND_MAX)
    const opcode = this.#filled++
    const position = this.#number(this.#position)
    this.#out[opcode] = COPY + 4 * position + this.#number(this.#length)
    this.#length = 0
  }

  #literalHead(length: number): void {
    const opcode = this.#filled++
    this.#out[opcode] = length <= SHORT_MAX ? length : LITERAL + this.#number(length)
  }

  /** Puts a number down; answers which width it has. */
  #number(value: number): number {
    const width = widthOf(value)
    const high = Math.floor(value / 2 ** 32)
    if (width === 3) this.#filled = this.#out.writeUInt32BE(high, this.#filled)
    const bytes = Math.min(4, 1 << width)
    this.#filled = this.#out.writeUIntBE(value % 2 ** 32, this.#filled, bytes)
    return width
  }

  #room(bytes: number): void {
    if (OUT_BYTES - this.#filled < bytes) this.#flush()
  }

  #flush(): void {
    if (this.#filled > 0) this.#sink(this.#out, 0, this.#filled)
    this.#filled = 0
  }
}
