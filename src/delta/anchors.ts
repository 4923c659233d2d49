import type { Base } from "./base.ts"
import { Windows, WINDOW_BYTES } from "./windows.ts"

/** What is looked up at once: the shortest match that is found anywhere in the base. */
export const BLOCK_BYTES = 32

/**
 * Which blocks are looked at is decided by their own bytes, so that the same ones are in base and
 * target however they are shifted: those where the top bits of a rolling sum are zero, one in 8 or
 * fewer. To look up every block of the target instead takes a wait for memory each byte: measured,
 * 10 MB/s where nothing is found. The sum is shifted left for each byte: after 32 it is forgotten.
 */
const GEAR = Int32Array.from({ length: 256 }, (_, byte) => scrambled(byte + 1))

/** Bits without order, the same on every machine (MurmurHash3's last steps). */
function scrambled(value: number): number {
  let x = Math.imul(value, 0x9e3779b1)
  x = Math.imul(x ^ x >>> 16, 0x85ebca6b)
  x = Math.imul(x ^ x >>> 13, 0xc2b2ae35)
  return x ^ x >>> 16
}

/** The sum at `at`, but for the block's last byte. */
function sumBefore(bytes: Buffer, at: number, end: number): number {
  let sum = 0
  if (at >= end) return sum
  for (let n = at; n < at + BLOCK_BYTES - 1; n++) sum = (sum << 1) + GEAR[bytes[n]!]! | 0
  return sum
}

/** Two hashes of a block, in `hashed`: 32 bits choose its slot, 24 are its check. */
const hashed = new Int32Array(2)
function hash(bytes: Buffer, at: number): void {
  let [first, second] = [0, 0]
  for (let n = at; n < at + BLOCK_BYTES; n += 4) {
    const word = wordAt(bytes, n)
    first = Math.imul(first ^ word, 0x2c1b3c6d)
    second = Math.imul(second ^ word, 0x297a2d39)
    first ^= first >>> 15
    second ^= second >>> 16
  }
  hashed[0] = Math.imul(first, 0x9e3779b1)
  hashed[1] = second & 0xffffff
}

const wordAt = (bytes: Buffer, at: number): number =>
  bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24

/** How memory is divided. */
export interface Plan {
  /** One block in 2^rarity is indexed. */
  readonly rarity: number
  /** Slots of the table, as a power of two. */
  readonly slotBits: number
  /** What is left for windows of the base. */
  readonly windowBytes: number
}

/** A slot is two words: a position and one, its lower part; its upper part and a check. */
const SLOT_BYTES = 8
/** One block in 16 makes deltas of text 1 % larger, of programs 2 %, and halves memory and time. */
const RARITY = 3
/** So much of the memory may be the table. */
const TABLE_SHARE = 0.6
const SLOT_BITS_MAX = 28
/**
 * Blocks are gathered, and their slots touched before they are needed, so that memory is waited for
 * once for several: that takes a third off the time of indexing, half off that of a search. What
 * was touched goes into the batch's last word, which nobody reads: else the loads were left out.
 */
const BATCH = 1024
const AHEAD = 16

/**
 * Divides `memoryBytes` for a base: so much of it for the table, which has room for a third more
 * blocks than are to be expected, the rest for windows. If one block in 8 is too many, it is one in
 * 16, and so on.
 */
export function planOf(baseSize: number, memoryBytes: number): Plan {
  for (let rarity = RARITY;; rarity++) {
    const blocks = baseSize / 2 ** rarity
    const slotBits = Math.max(10, Math.ceil(Math.log2(blocks * 4 / 3 + 1)))
    const tableBytes = SLOT_BYTES * 2 ** slotBits
    if (slotBits <= SLOT_BITS_MAX && tableBytes <= memoryBytes * TABLE_SHARE || slotBits === 10) {
      return { rarity, slotBits, windowBytes: memoryBytes - tableBytes }
    }
  }
}

/**
 * Where the blocks of a base stand, by their content: a table of open addressing. A block that is
 * there already is not put in again, nor is one of equal bytes, which would match any padding.
 * `advance` it to the end, then `search`.
 */
export class Anchors {
  readonly windows: Windows
  readonly #slots: Int32Array
  readonly #slotBits: number
  /** The sum is small enough if this shift leaves nothing. */
  readonly #rareShift: number
  /** Slots that may still be filled. */
  #free: number
  #window = 0
  /** Slot, check and place in its window of each block gathered; behind them, of older ones. */
  readonly #batch = new Int32Array(3 * (BATCH + AHEAD))
  #gathered = 0
  /** Where in the base the block stands that `search` found last. */
  found = 0

  /** `memoryBytes`: for table and windows together. Beside it there is an encoder's 17 MiB. */
  constructor(base: Base, memoryBytes: number) {
    const plan = planOf(base.size, memoryBytes)
    this.windows = new Windows(base, plan.windowBytes)
    this.#slotBits = plan.slotBits
    this.#slots = new Int32Array(2 * 2 ** plan.slotBits)
    this.#rareShift = 32 - plan.rarity
    this.#free = Math.floor(0.9 * 2 ** plan.slotBits)
  }

  /** How much of the base has been indexed. */
  get position(): number {
    return Math.min(this.windows.size, this.#window * WINDOW_BYTES)
  }

  /** Indexes the next window of the base; answers whether there is more. */
  advance(): boolean {
    if (this.position < this.windows.size) {
      const window = this.windows.window(this.#window)
      const end = window.length - BLOCK_BYTES + 1
      const shift = this.#rareShift
      let sum = sumBefore(window, 0, end)
      for (let at = 0; at < end; at++) {
        sum = (sum << 1) + GEAR[window[at + BLOCK_BYTES - 1]!]! | 0
        if (sum >>> shift === 0) this.#gather(window, at)
      }
      this.#putGathered()
      this.#window++
    }
    return this.position < this.windows.size
  }

  /**
   * Where from `at` on and before `end` the first block of `bytes` begins that very probably is in
   * the base, or `end`. `found` then has its place there.
   */
  search(bytes: Buffer, at: number, end: number): number {
    const shift = this.#rareShift
    let sum = sumBefore(bytes, at, end)
    for (let n = at; n < end;) {
      for (; n < end && this.#gathered < AHEAD; n++) {
        sum = (sum << 1) + GEAR[bytes[n + BLOCK_BYTES - 1]!]! | 0
        if (sum >>> shift === 0) this.#gather(bytes, n)
      }
      const place = this.#lookUpGathered()
      if (place >= 0) return place
    }
    return end
  }

  /** The place of the first block gathered that is in the table; -1: none is. */
  #lookUpGathered(): number {
    const slots = this.#slots
    const mask = slots.length - 1
    const batch = this.#batch
    const count = this.#gathered
    this.#gathered = 0
    let ahead = 0
    for (let n = 0; n < count; n++) ahead ^= slots[batch[3 * n]!]!
    batch[batch.length - 1] = ahead
    for (let n = 0; n < count; n++) {
      const check = batch[3 * n + 1]!
      for (let slot = batch[3 * n]!;; slot = slot + 2 & mask) {
        const [low, high] = [slots[slot]!, slots[slot + 1]!]
        if ((low | high) === 0) break
        if (high >>> 8 !== check) continue
        this.found = (high & 0xff) * 2 ** 32 + (low >>> 0) - 1
        return batch[3 * n + 2]!
      }
    }
    return -1
  }

  #gather(bytes: Buffer, at: number): void {
    if (bytes[at] === bytes[at + 1] && isUniform(bytes, at)) return
    if (this.#gathered === BATCH) this.#putGathered()
    hash(bytes, at)
    const n = 3 * this.#gathered++
    this.#batch[n] = hashed[0]! >>> 32 - this.#slotBits << 1
    this.#batch[n + 1] = hashed[1]!
    this.#batch[n + 2] = at
  }

  #putGathered(): void {
    const slots = this.#slots
    const mask = slots.length - 1
    const batch = this.#batch
    const count = Math.min(this.#gathered, this.#free)
    const start = this.position + 1
    let ahead = 0
    for (let n = 0; n < count; n++) {
      ahead ^= slots[batch[3 * (n + AHEAD)]!]!
      const check = batch[3 * n + 1]!
      let slot = batch[3 * n]!
      while ((slots[slot]! | slots[slot + 1]!) !== 0 && slots[slot + 1]! >>> 8 !== check) {
        slot = slot + 2 & mask
      }
      if ((slots[slot]! | slots[slot + 1]!) !== 0) continue
      const position = start + batch[3 * n + 2]!
      slots[slot] = position
      slots[slot + 1] = check << 8 | position / 2 ** 32
      this.#free--
    }
    batch[batch.length - 1] = ahead
    this.#gathered = 0
  }
}

function isUniform(bytes: Buffer, at: number): boolean {
  const first = bytes[at]
  for (let n = at + 1; n < at + BLOCK_BYTES; n++) if (bytes[n] !== first) return false
  return true
}
