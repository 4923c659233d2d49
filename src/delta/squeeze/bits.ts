import { codeLengths, codesOf } from "./huffman.ts"

/** Bits, the lowest first. */
export class Bits {
  readonly #most: number
  #bytes: Buffer
  #filled = 0
  /** Less than eight, as they wait for more. */
  #held = 0
  #count = 0

  /** `most` bytes are put at most between one `taken` and the next. */
  constructor(most: number) {
    this.#most = most
    this.#bytes = Buffer.allocUnsafeSlow(most)
  }

  /** Puts `count` bits, at most 16. */
  put(value: number, count: number): void {
    this.#held |= value << this.#count
    this.#count += count
    while (this.#count >= 8) {
      this.#bytes[this.#filled++] = this.#held
      this.#held >>>= 8
      this.#count -= 8
    }
  }

  /** Fills the last byte up. */
  end(): void {
    if (this.#count > 0) this.put(0, 8 - this.#count)
  }

  /** What is whole of what was put. */
  taken(): Buffer {
    if (this.#filled > this.#most) throw new RangeError(`${this.#filled} bytes, not ${this.#most}`)
    const bytes = this.#bytes.subarray(0, this.#filled)
    this.#bytes = Buffer.allocUnsafeSlow(this.#most)
    this.#filled = 0
    return bytes
  }
}

/** In which order the code of code lengths is told (RFC 1951, 3.2.7), and its longest. */
const TOLD = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
const TOLD_LENGTH_MAX = 7
/** The last length again, 3 to 6 times; none, 3 to 10 times, or 11 to 138: and the bits for it. */
const [AGAIN, FEW_NONE, MANY_NONE] = [16, 17, 18]
const MORE_BITS = new Map([[AGAIN, 2], [FEW_NONE, 3], [MANY_NONE, 7]])

/** Tells the lengths of a block's two codes. */
export function putCodes(bits: Bits, literals: Uint8Array, distances: Uint8Array): void {
  const [used, far] = [literals, distances].map((lengths) =>
    lengths.subarray(0, 1 + lengths.findLastIndex((length) => length > 0)))
  const runs = runsOf(Buffer.concat([used!, far!]))
  const counts = new Uint32Array(TOLD.length)
  for (const [symbol] of runs) counts[symbol]!++
  const lengths = codeLengths(counts, TOLD_LENGTH_MAX)
  const codes = codesOf(lengths)
  const told = 1 + TOLD.findLastIndex((symbol) => lengths[symbol]! > 0)
  bits.put(used!.length - 257, 5)
  bits.put(far!.length - 1, 5)
  bits.put(told - 4, 4)
  for (const symbol of TOLD.slice(0, told)) bits.put(lengths[symbol]!, 3)
  for (const [symbol, more] of runs) {
    bits.put(codes[symbol]!, lengths[symbol]!)
    bits.put(more, MORE_BITS.get(symbol) ?? 0)
  }
}

type Run = readonly [symbol: number, more: number]

/** Lengths of codes as symbols, each with what follows it. */
function runsOf(lengths: Uint8Array): readonly Run[] {
  const runs: Run[] = []
  for (let at = 0; at < lengths.length;) {
    const length = lengths[at]!
    let end = at + 1
    while (lengths[end] === length) end++
    if (length > 0) {
      runs.push([length, 0])
      at++
    }
    while (end - at >= 3) {
      const run = Math.min(end - at, length > 0 ? 6 : 138)
      if (length > 0) runs.push([AGAIN, run - 3])
      else runs.push(run < 11 ? [FEW_NONE, run - 3] : [MANY_NONE, run - 11])
      at += run
    }
    for (; at < end; at++) runs.push([length, 0])
  }
  return runs
}
