import { breathe } from "./scan.ts"

/** Bytes of the new that are like the old's at a place, or are not like anything. */
export interface Stretch {
  /** Null: like nothing. */
  readonly old: number | null
  readonly start: number
  readonly length: number
}

/** Bytes that must be equal for a place to be looked at. */
const SEED = 8
const HASH_BITS = 20
/** How many places of equal seeds are looked at. */
const CANDIDATES = 16
/** A run this long where it is expected is not doubted. */
const ENOUGH = 32
/** How much better another place must be to be changed to, in bytes (as in bsdiff). */
const BETTER = 8
/** So many stretches may be short; on average they must have this many bytes. */
const STRETCHES = 1000
const SPARSE = 96

/** So many are gone through before others have a turn. */
const TURN_BYTES = 128 << 10

/** Where the seeds of the old are: chains of places with one hash, last first. */
class Seeds {
  readonly #old: Buffer
  readonly #heads = new Int32Array(1 << HASH_BITS).fill(-1)
  readonly #before: Int32Array
  /** What `find` found: how many bytes are equal, and where. */
  length = 0
  place = 0

  private constructor(old: Buffer) {
    this.#old = old
    this.#before = new Int32Array(old.length)
  }

  static async of(old: Buffer): Promise<Seeds> {
    const seeds = new Seeds(old)
    for (let at = 0; at + SEED <= old.length; at += TURN_BYTES) {
      seeds.#note(at, Math.min(at + TURN_BYTES, old.length - SEED + 1))
      await breathe()
    }
    return seeds
  }

  #note(from: number, to: number): void {
    for (let at = from; at < to; at++) {
      const hash = hashAt(this.#old, at)
      this.#before[at] = this.#heads[hash]!
      this.#heads[hash] = at
    }
  }

  /** The longest run equal to the new's at `at`; one at `aligned` if none is longer. */
  find(bytes: Buffer, at: number, aligned: number): void {
    const old = this.#old
    this.length = this.place = 0
    if (at + SEED > bytes.length) return
    if (aligned >= 0 && aligned < old.length) this.#try(bytes, at, aligned)
    if (this.length >= ENOUGH) return
    let place = this.#heads[hashAt(bytes, at)]!
    for (let left = CANDIDATES; place >= 0 && left > 0; left--) {
      if (old[place + this.length] === bytes[at + this.length]) this.#try(bytes, at, place)
      place = this.#before[place]!
    }
  }

  #try(bytes: Buffer, at: number, place: number): void {
    const most = Math.min(this.#old.length - place, bytes.length - at)
    let length = 0
    while (length < most && this.#old[place + length] === bytes[at + length]) length++
    if (length < SEED || length <= this.length) return
    this.length = length
    this.place = place
  }
}

const hashAt = (bytes: Buffer, at: number): number => {
  const low = bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24
  const high = bytes[at + 4]! | bytes[at + 5]! << 8 | bytes[at + 6]! << 16 | bytes[at + 7]! << 24
  return (Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b)) >>> 32 - HASH_BITS
}

/**
 * How a new file follows from an old one, when most of what changed in it are single bytes in
 * between, as the addresses in executables do: C. Percival's bsdiff, with hashed seeds in place of
 * sorted suffixes. The stretches make up the new, in order; null: they would be too many.
 */
export const approximate = async (
  old: Buffer, bytes: Buffer,
): Promise<readonly Stretch[] | null> => {
  const seeds = await Seeds.of(old)
  const found: Stretch[] = []
  let [start, startOld, next, turn] = [0, 0, 0, 0]
  while (start < bytes.length) {
    if (found.length > STRETCHES && found.length * SPARSE > start) return null
    const search: Search = { at: next, score: 0, scored: next, shift: startOld - start }
    while (!better(seeds, old, bytes, search)) await breathe()
    const { at } = search
    if (at > turn + TURN_BYTES) {
      turn = at
      await breathe()
    }
    const isEnd = at >= bytes.length
    const forward = reach(old, bytes, { at: start, place: startOld, most: at - start, step: 1 })
    const backward = isEnd ? 0 : reach(old, bytes, {
      at: at - 1, place: seeds.place - 1, most: Math.min(at - start, seeds.place), step: -1,
    })
    const shared = Math.max(0, forward + backward - (at - start))
    const kept = shared === 0 ? 0 : border(old, bytes, {
      at: at - backward, shared, one: startOld - start, other: seeds.place - at,
    })
    const like = forward - shared + kept
    const begin = at - backward + kept
    if (like > 0) found.push({ old: startOld, start, length: like })
    if (begin > start + like) {
      found.push({ old: null, start: start + like, length: begin - start - like })
    }
    start = begin
    startOld = seeds.place - (at - begin)
    next = at + seeds.length
  }
  return found
}

/** How far the search for another alignment than `shift` has come, and how good that one is. */
interface Search {
  at: number
  score: number
  scored: number
  readonly shift: number
}

/**
 * Goes to the next place at which another alignment is better; seeds say which. False: it is not
 * there yet, and wants to be called again.
 */
const better = (seeds: Seeds, old: Buffer, bytes: Buffer, search: Search): boolean => {
  const { shift } = search
  const same = (at: number): boolean => old[at + shift] === bytes[at]
  let { at, score, scored } = search
  const until = Math.min(bytes.length, at + TURN_BYTES)
  let isBetter = false
  for (; at < until; at++) {
    seeds.find(bytes, at, at + shift)
    const { length } = seeds
    if (length > 0 && seeds.place === at + shift) {
      at += length - 1
      score = 0
      scored = at + 1
      continue
    }
    for (; scored < at + length; scored++) if (same(scored)) score++
    isBetter = length > score + BETTER
    if (isBetter) break
    if (scored <= at) scored = at + 1
    else if (same(at)) score--
  }
  Object.assign(search, { at, score, scored })
  return isBetter || at >= bytes.length
}

interface Reach {
  readonly at: number
  readonly place: number
  readonly most: number
  readonly step: 1 | -1
}

/** How far it goes on with more than half of the bytes equal. */
const reach = (old: Buffer, bytes: Buffer, { at, place, most, step }: Reach): number => {
  let [equal, best, length] = [0, 0, 0]
  for (let n = 0; n < most; n++) {
    const there = place + step * n
    if (there < 0 || there >= old.length) break
    if (old[there] === bytes[at + step * n]) equal++
    if (equal * 2 - (n + 1) > best * 2 - length) [best, length] = [equal, n + 1]
  }
  return length
}

interface Border {
  readonly at: number
  readonly shared: number
  readonly one: number
  readonly other: number
}

/** How many of the bytes that two alignments share the first of them keeps. */
const border = (old: Buffer, bytes: Buffer, { at, shared, one, other }: Border): number => {
  let [score, best, kept] = [0, 0, 0]
  for (let n = 0; n < shared; n++) {
    if (old[at + n + one] === bytes[at + n]) score++
    if (old[at + n + other] === bytes[at + n]) score--
    if (score > best) [best, kept] = [score, n + 1]
  }
  return kept
}
