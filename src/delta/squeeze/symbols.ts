import { LENGTH_MAX, LENGTH_MIN, WINDOW_BYTES } from "./matches.ts"

/** What blocks are written in (RFC 1951, 3.2.5): literals and lengths, which share a code. */
export const LITERALS = 286
export const END_OF_BLOCK = 256
const FIRST_LENGTH = 257
export const DISTANCES = 30

/** The symbol of each length; of each symbol the least length, and how many bits say which. */
export const LENGTH_SYMBOL = new Uint16Array(LENGTH_MAX + 1)
export const LENGTH_LEAST = new Uint16Array(LITERALS)
export const LENGTH_BITS = new Uint8Array(LITERALS)

/** The same of distances. */
export const DISTANCE_SYMBOL = new Uint8Array(WINDOW_BYTES + 1)
export const DISTANCE_LEAST = new Uint16Array(DISTANCES)
export const DISTANCE_BITS = new Uint8Array(DISTANCES)

for (let symbol = FIRST_LENGTH, length = LENGTH_MIN; symbol < LITERALS; symbol++) {
  const isLast = symbol === LITERALS - 1
  const bits = symbol < 265 || isLast ? 0 : symbol - 261 >> 2
  // The one before has room for it, too.
  if (isLast) length = LENGTH_MAX
  LENGTH_LEAST[symbol] = length
  LENGTH_BITS[symbol] = bits
  LENGTH_SYMBOL.fill(symbol, length, length += 1 << bits)
}
for (let symbol = 0, distance = 1; symbol < DISTANCES; symbol++) {
  const bits = symbol < 4 ? 0 : (symbol >> 1) - 1
  DISTANCE_LEAST[symbol] = distance
  DISTANCE_BITS[symbol] = bits
  DISTANCE_SYMBOL.fill(symbol, distance, distance += 1 << bits)
}

/** How often each symbol comes. */
export class Counts {
  readonly literals = new Uint32Array(LITERALS)
  readonly distances = new Uint32Array(DISTANCES)

  add({ literals, distances }: Counts): void {
    for (let n = 0; n < LITERALS; n++) this.literals[n]! += literals[n]!
    for (let n = 0; n < DISTANCES; n++) this.distances[n]! += distances[n]!
  }

  /** How many bits a block of them takes, about; without those that say which of a symbol's. */
  bits(): number {
    return bitsOf(this.literals) + bitsOf(this.distances)
  }
}

/** What it takes to tell one symbol's code. */
const TOLD_BITS = 4

function bitsOf(counts: Uint32Array): number {
  let [total, bits] = [0, 0]
  for (const count of counts) {
    if (count === 0) continue
    total += count
    bits += TOLD_BITS - count * Math.log2(count)
  }
  return total === 0 ? 0 : bits + total * Math.log2(total)
}
