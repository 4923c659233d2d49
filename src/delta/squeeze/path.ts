import {
  distanceOf, LENGTH_MAX, LENGTH_MIN, lengthOf, matchOf, type Matches, SEGMENT_BYTES, WINDOW_BYTES,
} from "./matches.ts"
import {
  Counts, DISTANCE_BITS, DISTANCE_SYMBOL, END_OF_BLOCK, LENGTH_BITS, LENGTH_SYMBOL,
} from "./symbols.ts"

/** How many bits each literal, each length and each symbol of distances takes. */
export interface Costs {
  readonly literals: Float64Array
  readonly lengths: Float64Array
  readonly distances: Float64Array
}

/** What they take by the best codes for these counts. */
export function costsOf({ literals, distances }: Counts): Costs {
  const bits = bitsBy(literals)
  const lengths = new Float64Array(LENGTH_MAX + 1)
  for (let length = LENGTH_MIN; length <= LENGTH_MAX; length++) {
    const symbol = LENGTH_SYMBOL[length]!
    lengths[length] = bits[symbol]! + LENGTH_BITS[symbol]!
  }
  const far = bitsBy(distances).map((bits, symbol) => bits + DISTANCE_BITS[symbol]!)
  return { literals: bits, lengths, distances: far }
}

/** What did not come might have: as if a third of one had. */
const SELDOM = 0.3

function bitsBy(counts: Uint32Array): Float64Array {
  const total = counts.reduce((sum, count) => sum + count, 1)
  return Float64Array.from(counts, (count) => Math.log2(total / Math.max(SELDOM, count)))
}

/** What they take as long as nothing has been counted. */
export function firstCosts(): Costs {
  const counts = new Counts()
  counts.literals.fill(4, 0, END_OF_BLOCK).fill(24, END_OF_BLOCK)
  counts.distances.fill(1)
  return costsOf(counts)
}

/** How often symbols come on a part of a path, and where that part ends. */
export interface Counted {
  readonly counts: Counts
  readonly end: number
}

/** A way through a segment: from each place one goes on with a match, or with a literal: 0. */
export class Path {
  readonly steps = new Int32Array(SEGMENT_BYTES)
  readonly #matches: Matches
  readonly #costs = new Float64Array(SEGMENT_BYTES + 1)

  constructor(matches: Matches) {
    this.#matches = matches
  }

  /** Finds the cheapest one from `start` to `end`, from its end on. */
  find(start: number, end: number, { literals, lengths, distances }: Costs): void {
    const { bytes, first, found } = this.#matches
    const costs = this.#costs
    costs[end] = 0
    for (let at = end - 1; at >= start; at--) {
      let best = literals[bytes[WINDOW_BYTES + at]!]! + costs[at + 1]!
      let step = 0
      let length = LENGTH_MIN
      for (let n = first[at]!; n < first[at + 1]!; n++) {
        const distance = distanceOf(found[n]!)
        const far = distances[DISTANCE_SYMBOL[distance]!]!
        const most = Math.min(lengthOf(found[n]!), end - at)
        for (; length <= most; length++) {
          const cost = far + lengths[length]! + costs[at + length]!
          if (cost >= best) continue
          best = cost
          step = matchOf(length, distance)
        }
      }
      costs[at] = best
      this.steps[at] = step
    }
  }

  /** Counts at most `most` symbols from `start` on, up to `end`. */
  count(start: number, end: number, most = Infinity): Counted {
    const { bytes } = this.#matches
    const counts = new Counts()
    let at = start
    for (let left = most; at < end && left > 0; left--) {
      const step = this.steps[at]!
      if (step === 0) counts.literals[bytes[WINDOW_BYTES + at++]!]!++
      else {
        counts.literals[LENGTH_SYMBOL[lengthOf(step)]!]!++
        counts.distances[DISTANCE_SYMBOL[distanceOf(step)]!]!++
        at += lengthOf(step)
      }
    }
    counts.literals[END_OF_BLOCK] = 1
    return { counts, end: at }
  }
}
