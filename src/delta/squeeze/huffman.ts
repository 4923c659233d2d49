/** The longest code there may be (RFC 1951). */
export const CODE_LENGTH_MAX = 15

/**
 * How many bits each symbol's code has, at most `most`, so that all of them that come take few: by
 * Huffman, and where that makes some too long, nearly so. None has a symbol that does not come, but
 * there are always two codes: not every reader likes fewer.
 */
export function codeLengths(counts: Uint32Array, most: number): Uint8Array {
  const symbols = [...counts.keys()]
  const used = symbols.filter((symbol) => counts[symbol]! > 0)
  const unused = symbols.filter((symbol) => counts[symbol] === 0)
  used.push(...unused.slice(0, Math.max(0, 2 - used.length)))
  used.sort((one, other) => counts[one]! - counts[other]! || one - other)
  const numbers = shortened(depths(used.map((symbol) => counts[symbol]!)), most)
  const lengths = new Uint8Array(counts.length)
  let next = 0
  for (let length = most; length > 0; length--) {
    for (let left = numbers[length]!; left > 0; left--) lengths[used[next++]!] = length
  }
  return lengths
}

/** How deep each of these weights, which ascend, lies in Huffman's tree. */
function depths(weights: readonly number[]): readonly number[] {
  const sums = [...weights]
  const parents: number[] = []
  let [leaf, inner] = [0, weights.length]
  while (sums.length < 2 * weights.length - 1) {
    let sum = 0
    for (let n = 0; n < 2; n++) {
      const isLeaf = leaf < weights.length && (inner >= sums.length || sums[leaf]! <= sums[inner]!)
      const least = isLeaf ? leaf++ : inner++
      parents[least] = sums.length
      sum += sums[least]!
    }
    sums.push(sum)
  }
  const deep = Array.from(sums, () => 0)
  for (let n = sums.length - 2; n >= 0; n--) deep[n] = deep[parents[n]!]! + 1
  return deep.slice(0, weights.length)
}

/** How many codes there are of each length: what is too long is cut, and shorter ones pay. */
function shortened(deep: readonly number[], most: number): readonly number[] {
  const numbers = Array.from({ length: most + 1 }, () => 0)
  for (const length of deep) numbers[Math.min(length, most)]!++
  // In units of the longest code: what there is, and what there is room for.
  const taken = numbers.reduce((sum, number, length) => sum + number * 2 ** (most - length), 0)
  for (let over = taken - 2 ** most; over > 0; over--) {
    const length = numbers.findLastIndex((number, length) => number > 0 && length < most)
    // One of the longest moves to where a shorter one was, which becomes longer by one beside it.
    numbers[most]!--
    numbers[length]!--
    numbers[length + 1]! += 2
  }
  return numbers
}

/** The codes of these lengths (RFC 1951, 3.2.2), mirrored, as they are put highest bit first. */
export function codesOf(lengths: Uint8Array): Uint16Array {
  const codes = new Uint16Array(lengths.length)
  let code = 0
  for (let length = 1; length <= CODE_LENGTH_MAX; length++) {
    code <<= 1
    for (const [symbol, own] of lengths.entries()) {
      if (own === length) codes[symbol] = mirrored(code++, length)
    }
  }
  return codes
}

function mirrored(code: number, length: number): number {
  let out = 0
  for (let n = 0; n < length; n++) out = out << 1 | code >>> n & 1
  return out
}
