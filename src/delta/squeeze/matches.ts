/** How far back a match may be, and how long it may be (RFC 1951). */
export const WINDOW_BYTES = 32 << 10
export const LENGTH_MIN = 3
export const LENGTH_MAX = 258

/** What is looked at as a whole. Twice as much makes nothing smaller. */
export const SEGMENT_BYTES = 128 << 10

/** So many places of the same four bytes are tried: half as many make it 0.2 % larger. */
const DEPTH = 96
/** Inside a match of this length none is looked for. */
const NICE = 160
const WORD = 4
const SLOT_BITS = 15

/** A match is one number: its length, and below that its distance less one. */
const DISTANCE_BITS = 15
export const matchOf = (length: number, distance: number): number =>
  length << DISTANCE_BITS | distance - 1
export const lengthOf = (match: number): number => match >>> DISTANCE_BITS
export const distanceOf = (match: number): number => (match & (1 << DISTANCE_BITS) - 1) + 1

/** A place that is too far from everywhere. */
const NOWHERE = -WINDOW_BYTES

/**
 * The matches in a segment that are of use: at each place, for each length the nearest. Its bytes
 * are put into `bytes` behind `WINDOW_BYTES`; what came before them stands there already.
 */
export class Matches {
  readonly bytes = new Uint8Array(WINDOW_BYTES + SEGMENT_BYTES)
  /** Where in `found` those at each place of the segment begin, shortest first; and their end. */
  readonly first = new Int32Array(SEGMENT_BYTES + 1)
  found = new Int32Array(4 * SEGMENT_BYTES)
  /** The latest place of each three bytes and of each four, and of each place the one before. */
  readonly #threes = new Int32Array(1 << SLOT_BITS).fill(NOWHERE)
  readonly #fours = new Int32Array(1 << SLOT_BITS).fill(NOWHERE)
  readonly #before = new Int32Array(WINDOW_BYTES).fill(NOWHERE)
  /** Where what was entered last was before: its three bytes. */
  #three = NOWHERE

  /** Finds what there is in the first `length` bytes of the segment. */
  find(length: number): void {
    const end = WINDOW_BYTES + length
    let [count, covered] = [0, 0]
    for (let at = WINDOW_BYTES; at < end; at++) {
      this.first[at - WINDOW_BYTES] = count
      if (at + WORD > end) continue
      this.#enter(at)
      if (at < covered) continue
      const more = this.#search(at, Math.min(LENGTH_MAX, end - at), count)
      const longest = more > count ? lengthOf(this.found[more - 1]!) : 0
      if (longest >= NICE) covered = at + longest
      count = more
    }
    this.first[length] = count
  }

  /** Makes room for the next segment; this one was full. */
  next(): void {
    this.bytes.copyWithin(0, SEGMENT_BYTES)
    for (const places of [this.#threes, this.#fours, this.#before]) {
      for (let n = 0; n < places.length; n++) {
        places[n] = Math.max(NOWHERE, places[n]! - SEGMENT_BYTES)
      }
    }
  }

  #enter(at: number): void {
    const { bytes } = this
    const three = bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16
    const slot = Math.imul(three, 0x9e3779b1) >>> 32 - SLOT_BITS
    this.#three = this.#threes[slot]!
    this.#threes[slot] = at
    const next = Math.imul(three | bytes[at + 3]! << 24, 0x85ebca6b) >>> 32 - SLOT_BITS
    this.#before[at % WINDOW_BYTES] = this.#fours[next]!
    this.#fours[next] = at
  }

  /** Puts the matches at `at`, which was entered, behind `count` others; answers their number. */
  #search(at: number, most: number, count: number): number {
    if (this.found.length - count < LENGTH_MAX) this.#grow()
    const { bytes, found } = this
    // Only what is nearer: the farthest one's own place is where `at` has been entered.
    const far = at - WINDOW_BYTES
    let best = LENGTH_MIN - 1
    if (this.#three > far && this.#same(at, this.#three, LENGTH_MIN) === LENGTH_MIN) {
      best = LENGTH_MIN
      found[count++] = matchOf(best, at - this.#three)
    }
    let place = this.#before[at % WINDOW_BYTES]!
    for (let left = DEPTH; left > 0 && place > far; left--) {
      if (bytes[place + best] === bytes[at + best]) {
        const same = this.#same(at, place, most)
        if (same > best) {
          best = same
          found[count++] = matchOf(best, at - place)
          if (best >= NICE || best === most) break
        }
      }
      place = this.#before[place % WINDOW_BYTES]!
    }
    return count
  }

  /** How many bytes are the same at both places, of `most`. */
  #same(at: number, place: number, most: number): number {
    const { bytes } = this
    let same = 0
    while (same < most && bytes[place + same] === bytes[at + same]) same++
    return same
  }

  #grow(): void {
    const { found } = this
    this.found = new Int32Array(2 * found.length)
    this.found.set(found)
  }
}
