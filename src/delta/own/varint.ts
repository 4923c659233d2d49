import { broken } from "./format.ts"

/** A column under way: numbers as unsigned LEB128, seven bits a byte, least significant first. */
export class Writer {
  #bytes = Buffer.allocUnsafe(256)
  #length = 0

  byte(value: number): void {
    this.#room(1)
    this.#bytes[this.#length++] = value
  }

  /** A safe integer, not negative. */
  number(value: number): void {
    this.#room(8)
    let rest = value
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) {
      this.#bytes[this.#length++] = rest % 0x80 | 0x80
    }
    this.#bytes[this.#length++] = rest
  }

  /** 0, -1, 1, -2, 2 … as 0, 1, 2, 3, 4 … */
  signed(value: number): void {
    this.number(value < 0 ? -2 * value - 1 : 2 * value)
  }

  bytes(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  get length(): number {
    return this.#length
  }

  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  #room(length: number): void {
    if (this.#length + length <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(2 * (this.#length + length))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}

/** Reads what a `Writer` wrote; whatever it did not write is a `FrameError`. */
export class Reader {
  readonly #bytes: Buffer
  #at = 0
  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  byte(): number {
    const value = this.#bytes[this.#at]
    if (value === undefined) throw broken("it ends too early")
    this.#at++
    return value
  }

  number(): number {
    let [value, scale] = [0, 1]
    for (;;) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (value > Number.MAX_SAFE_INTEGER) throw broken("a number in it is too large")
      if (byte < 0x80) return value
      scale *= 0x80
      if (scale > 2 ** 49) throw broken("a number in it is too long")
    }
  }

  signed(): number {
    const value = this.number()
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2
  }

  /** The next `length` bytes, not copied. */
  bytes(length: number): Buffer {
    if (length > this.left) throw broken("it ends too early")
    const bytes = this.#bytes.subarray(this.#at, this.#at + length)
    this.#at += length
    return bytes
  }
}
