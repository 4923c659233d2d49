/** Numbers that follow from a seed (mulberry32): a run is planned the same way twice. */
export interface Dice {
  /** At least 0, below 1. */
  readonly next: () => number
  /** A whole number from 0 up to, but not including, `below`. */
  readonly below: (below: number) => number
}

export const diceOf = (seed: number): Dice => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return { next, below: (below) => Math.floor(next() * below) }
}
