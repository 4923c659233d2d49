/**
 * Unsigned LEB128 of safe integers: seven bits a byte, least significant first, the top bit set on
 * all but the last. At most 8 bytes. (Division, not shifts: those stop at 32 bits.)
 */

/** Bytes that `value` takes. */
export const varintLength = (value: number): number => {
  let length = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++
  return length
}

/** Writes `value` at `offset`; answers the offset behind it. */
export const writeVarint = (buffer: Buffer, value: number, offset: number): number => {
  let rest = value
  let at = offset
  while (rest >= 0x80) {
    buffer[at++] = rest % 0x80 | 0x80
    rest = Math.floor(rest / 0x80)
  }
  buffer[at++] = rest
  return at
}

/** A length that was read, if it is at most `most`. */
export const bounded = (value: number, most: number): number => {
  if (value > most) throw new RangeError("a length in it is too large")
  return value
}

/** Reads on through a buffer; every step past its end, and every unsafe number, is a RangeError. */
export class Cursor {
  readonly #buffer: Buffer
  offset: number
  constructor(buffer: Buffer, offset = 0) {
    this.#buffer = buffer
    this.offset = offset
  }

  get left(): number {
    return this.#buffer.length - this.offset
  }

  byte(): number {
    const value = this.#buffer[this.offset]
    if (value === undefined) throw new RangeError("it ends in the middle of a number")
    this.offset++
    return value
  }

  varint(): number {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (value > Number.MAX_SAFE_INTEGER) throw new RangeError("a number in it is too large")
      if (byte < 0x80) return value
      scale *= 0x80
      if (scale > 2 ** 49) throw new RangeError("a number in it is too long")
    }
  }

  u32(): number {
    if (this.left < 4) throw new RangeError("it ends in the middle of a number")
    const value = this.#buffer.readUInt32LE(this.offset)
    this.offset += 4
    return value
  }

  u64(): number {
    if (this.left < 8) throw new RangeError("it ends in the middle of a number")
    const value = Number(this.#buffer.readBigUInt64LE(this.offset))
    if (!Number.isSafeInteger(value)) throw new RangeError("a number in it is too large")
    this.offset += 8
    return value
  }

  /** Passes over the next `length` bytes. */
  skip(length: number): void {
    if (length > this.left) throw new RangeError("it ends too early")
    this.offset += length
  }

  /** The next `length` bytes, not copied. */
  bytes(length: number): Buffer {
    this.skip(length)
    return this.#buffer.subarray(this.offset - length, this.offset)
  }
}
