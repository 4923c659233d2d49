import { crc32 } from "node:zlib"
import type { Base } from "../base.ts"
import { FrameError, GROUP_BYTES } from "./format.ts"

import { readGroup } from "./group.ts"
import type { Group } from "./group.ts"

const WINDOW_BYTES = 128 << 10

/** Reads the base through one window, and sums what is used of it. */
export class BaseReader {
  /** CRC-32 of all bytes used so far. */
  crc = 0
  readonly #base: Base
  readonly #window = Buffer.allocUnsafeSlow(WINDOW_BYTES)
  #start = 0
  #end = 0

  constructor(base: Base) {
    this.#base = base
  }

  get size(): number {
    return this.#base.size
  }

  /** At most `GROUP_BYTES`; fewer than asked for at the end only. Good until the next call. */
  peek(position: number, length: number): Buffer {
    const end = Math.min(position + Math.min(length, GROUP_BYTES), this.#base.size)
    if (position < 0 || position >= end) return this.#window.subarray(0, 0)
    if (position < this.#start || end > this.#end) {
      const wanted = Math.min(WINDOW_BYTES, this.#base.size - position)
      this.#end = this.#start = position
      this.#end += this.#base.read(position, this.#window.subarray(0, wanted))
      if (this.#end < end) throw new FrameError("base", `it ends at ${this.#end}`)
    }
    return this.#window.subarray(position - this.#start, end - this.#start)
  }

  /** The group at `position`, which must be there. */
  group(position: number): Group {
    const group = readGroup((at, length) => this.peek(at, length), position)
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
    if (into.length <= GROUP_BYTES) this.peek(position, into.length).copy(into)
    else if (this.#base.read(position, into) !== into.length) {
      throw new FrameError("base", `it ends before ${end}`)
    }
    this.crc = crc32(into, this.crc)
  }
}
