import type { Base } from "./base.ts"
import { Windows, WINDOW_BYTES } from "./windows.ts"

/** What is looked up at once. A match is found for sure from BLOCK_BYTES + step - 1 bytes on. */
export const BLOCK_BYTES = 32

/**
 * Two polynomials modulo 2^32 over a block's bytes: the first rolls over the target, the second is
 * reckoned only where the first fits, so that the base is looked at only where it is the same.
 */
const FACTOR = 0x2c1b3c6d
const CHECK_FACTOR = 0x297a2d39
/** FACTOR ^ BLOCK_BYTES: what a byte counts when it leaves the block. */
const LEAVING = powerOf(FACTOR, BLOCK_BYTES)

function powerOf(factor: number, exponent: number): number {
  let power = 1
  for (let n = 0; n < exponent; n++) power = Math.imul(power, factor)
  return power
}

export const hashOf = (bytes: Buffer, at: number): number => {
  let hash = 0
  for (let n = at; n < at + BLOCK_BYTES; n++) hash = Math.imul(hash, FACTOR) + bytes[n]! | 0
  return hash
}

/** The hash of the block one further on. */
export const rolled = (hash: number, leaving: number, entering: number): number =>
  Math.imul(hash, FACTOR) + entering - Math.imul(leaving, LEAVING) | 0

const checkOf = (bytes: Buffer, at: number): number => {
  let check = 0
  for (let n = at; n < at + BLOCK_BYTES; n++) check = Math.imul(check, CHECK_FACTOR) + bytes[n]! | 0
  return (check ^ check >>> 16) & 0xffff
}

/** The bits of a polynomial hash are not equally good: high ones of this are its slot. */
const mixed = (hash: number): number => Math.imul(hash ^ hash >>> 15, 0x85ebca6b)

/** How memory is divided. */
export interface Plan {
  /** Every how many bytes of the base a block is indexed. */
  readonly step: number
  /** Slots of the table, as a power of two. */
  readonly slotBits: number
  /** What is left for windows of the base. */
  readonly windowBytes: number
}

/** A slot has a block's number with a tag, and its check. */
const SLOT_BYTES = 6

/**
 * Divides `memoryBytes` for a base: at most half of it for the table, the rest for windows. Blocks
 * stand side by side if there is room for so many slots, 4/3 of their number at least; else every
 * second, fourth, … is indexed.
 */
export function planOf(baseSize: number, memoryBytes: number): Plan {
  for (let step = BLOCK_BYTES;; step *= 2) {
    const blocks = Math.ceil(baseSize / step)
    const slotBits = Math.max(10, Math.ceil(Math.log2(blocks * 4 / 3 + 1)))
    const tableBytes = SLOT_BYTES * 2 ** slotBits
    const fits = tableBytes <= memoryBytes / 2 && slotBits < 30
    if (fits || step >= WINDOW_BYTES) return { step, slotBits, windowBytes: memoryBytes - tableBytes }
  }
}

/**
 * Where each block of a base stands, by its content: a table of open addressing in 6 bytes a slot.
 * A block that is there already is not put in again, nor is one of equal bytes, which would match
 * any padding. `advance` it to the end before it is asked.
 */
export class BlockIndex {
  readonly windows: Windows
  readonly #step: number
  /** 0: empty; else the block's number and one, and below it some bits of its hash. */
  readonly #slots: Int32Array
  readonly #checks: Uint16Array
  readonly #shift: number
  readonly #tagBits: number
  #window = 0

  /** `memoryBytes`: for table and windows together. Beside it there is an encoder's 17 MiB. */
  constructor(base: Base, memoryBytes: number) {
    const plan = planOf(base.size, memoryBytes)
    this.windows = new Windows(base, plan.windowBytes)
    this.#step = plan.step
    this.#slots = new Int32Array(2 ** plan.slotBits)
    this.#checks = new Uint16Array(2 ** plan.slotBits)
    this.#shift = 32 - plan.slotBits
    const blocks = Math.ceil(base.size / plan.step)
    this.#tagBits = Math.min(16, Math.clz32(blocks + 1))
  }

  /** How much of the base has been indexed. */
  get position(): number {
    return Math.min(this.windows.size, this.#window * WINDOW_BYTES)
  }

  /** Indexes the next window of the base; answers whether there is more. */
  advance(): boolean {
    if (this.position < this.windows.size) {
      const window = this.windows.window(this.#window)
      let block = this.#window * (WINDOW_BYTES / this.#step)
      for (let at = 0; at + BLOCK_BYTES <= window.length; at += this.#step) {
        this.#put(window, at, ++block)
      }
      this.#window++
    }
    return this.position < this.windows.size
  }

  /**
   * Where in the base there is what very probably is the block at `at`, whose hash is given; -1:
   * nowhere.
   */
  find(hash: number, bytes: Buffer, at: number): number {
    const slots = this.#slots
    const mask = slots.length - 1
    const x = mixed(hash)
    const tagBits = this.#tagBits
    const tagMask = (1 << tagBits) - 1
    for (let slot = x >>> this.#shift;; slot = slot + 1 & mask) {
      const entry = slots[slot]!
      if (entry === 0) return -1
      if (((entry ^ x) & tagMask) === 0 && this.#checks[slot] === checkOf(bytes, at)) {
        return ((entry >>> tagBits) - 1) * this.#step
      }
    }
  }

  #put(bytes: Buffer, at: number, block: number): void {
    if (bytes[at] === bytes[at + 1] && uniform(bytes, at)) return
    const slots = this.#slots
    const mask = slots.length - 1
    const x = mixed(hashOf(bytes, at))
    const check = checkOf(bytes, at)
    const tagMask = (1 << this.#tagBits) - 1
    let slot = x >>> this.#shift
    for (; slots[slot] !== 0; slot = slot + 1 & mask) {
      if (((slots[slot]! ^ x) & tagMask) === 0 && this.#checks[slot] === check) return
    }
    slots[slot] = block << this.#tagBits | x & tagMask
    this.#checks[slot] = check
  }
}

function uniform(bytes: Buffer, at: number): boolean {
  const first = bytes[at]
  for (let n = at + 1; n < at + BLOCK_BYTES; n++) if (bytes[n] !== first) return false
  return true
}
