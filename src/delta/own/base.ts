import { crc32 } from "node:zlib"
import type { Base } from "../base.ts"
import { FrameError, GROUP_BYTES } from "./format.ts"
import { readGroup } from "./group.ts"
import type { Group } from "./group.ts"

/** Reads the base, no more of it than is asked for, and sums what is used. */
export class BaseReader {
  /** CRC-32 of all bytes used so far. */
  crc = 0
  readonly #base: Base
  readonly #headers: Buffer
  #start = 0
  #end = 0

  /** `headers`: a buffer of `GROUP_BYTES`. */
  constructor(base: Base, headers: Buffer) {
    this.#base = base
    this.#headers = headers
  }

  /** The group at `position`, which must be there. */
  group(position: number): Group {
    const group = readGroup((at, length) => this.#peek(at, length), position)
    if (group === null) throw new FrameError("base", `there are no headers at ${position}`)
    this.crc = crc32(group.bytes, this.crc)
    return group
  }

  /** Fills `into`. */
  fill(position: number, into: Buffer): void {
    const end = position + into.length
    if (position < 0 || end > this.#base.size) {
      throw new FrameError("base", `it has ${this.#base.size} bytes, and ${end} are needed`)
    }
    if (this.#base.read(position, into) !== into.length) {
      throw new FrameError("base", `it ends before ${end}`)
    }
    this.crc = crc32(into, this.crc)
  }

  /** At most `GROUP_BYTES`; fewer than asked for at the end only. Good until the next call. */
  #peek(position: number, length: number): Buffer {
    const end = Math.min(position + Math.min(length, GROUP_BYTES), this.#base.size)
    if (position < 0 || position >= end) return this.#headers.subarray(0, 0)
    if (position < this.#start || end > this.#end) {
      this.#start = this.#end = position
      this.#end += this.#base.read(position, this.#headers.subarray(0, end - position))
      if (this.#end < end) throw new FrameError("base", `it ends at ${this.#end}`)
    }
    return this.#headers.subarray(position - this.#start, end - this.#start)
  }
}
