import type { Base } from "./base.ts"

/** What is read of a base at once. */
export const WINDOW_BYTES = 1 << 20
/** Below this a loop is faster than a native call. */
const LOOP_BYTES = 48
const CHUNK_BYTES = 4096

/**
 * A base in memory, as far as it fits: windows of it, the least lately used given up first (by a
 * clock). A base that fits is read once, in order, when it is indexed, and never again: nothing
 * else is as fast, and the page cache keeps what it had. Of a larger one windows are read again
 * where a target matches; targets mostly follow their base, so mostly in order and once.
 */
export class Windows {
  readonly #base: Base
  readonly #held: (Buffer | undefined)[]
  /** Numbers of the windows that are held, in a ring; and which were used since the hand passed. */
  readonly #ring: number[] = []
  readonly #used: Uint8Array
  readonly #most: number
  #hand = 0

  /** Holds at most `bytes`, and at least two windows. */
  constructor(base: Base, bytes: number) {
    this.#base = base
    const count = Math.ceil(base.size / WINDOW_BYTES)
    this.#held = Array.from({ length: count }, () => undefined)
    this.#used = new Uint8Array(count)
    this.#most = Math.max(2, Math.floor(bytes / WINDOW_BYTES))
  }

  get size(): number {
    return this.#base.size
  }

  /** The window of this number; whole, but for the last. Good until the next call. */
  window(number: number): Buffer {
    this.#used[number] = 1
    return this.#held[number] ?? this.#load(number)
  }

  /** How many bytes of the base from `position` on are as those from `at` to `end` of `bytes`. */
  same(position: number, bytes: Buffer, at: number, end: number): number {
    const most = Math.min(end - at, this.size - position)
    let done = 0
    while (done < most) {
      const number = Math.floor((position + done) / WINDOW_BYTES)
      const from = position + done - number * WINDOW_BYTES
      const length = Math.min(most - done, WINDOW_BYTES - from)
      const run = sameRun(this.window(number), from, bytes, at + done, length)
      done += run
      if (run < length) break
    }
    return done
  }

  /** How many bytes before `position` are as those before `at` in `bytes`, back to `start`. */
  sameBefore(position: number, bytes: Buffer, at: number, start: number): number {
    const most = Math.min(at - start, position)
    let done = 0
    while (done < most) {
      const last = position - done - 1
      const number = Math.floor(last / WINDOW_BYTES)
      const window = this.window(number)
      const from = last - number * WINDOW_BYTES
      const length = Math.min(most - done, from + 1)
      const to = at - done - 1
      let run = 0
      while (run < length && window[from - run] === bytes[to - run]) run++
      done += run
      if (run < length) break
    }
    return done
  }

  #load(number: number): Buffer {
    const start = number * WINDOW_BYTES
    const length = Math.min(WINDOW_BYTES, this.size - start)
    const window = this.#spare(number).subarray(0, length)
    const got = this.#base.read(start, window)
    if (got < length) throw new Error(`the base ends at ${start + got}, not at ${this.size}`)
    this.#held[number] = window
    return window
  }

  /** Room for a window: new, or another's that has not been used for long. */
  #spare(number: number): Buffer {
    if (this.#ring.length < this.#most) {
      this.#ring.push(number)
      return Buffer.allocUnsafeSlow(WINDOW_BYTES)
    }
    for (;; this.#hand = (this.#hand + 1) % this.#ring.length) {
      const other = this.#ring[this.#hand]!
      const window = this.#held[other]
      if (this.#used[other] === 0 || window === undefined) {
        this.#held[other] = undefined
        this.#ring[this.#hand] = number
        this.#hand = (this.#hand + 1) % this.#ring.length
        return window?.length === WINDOW_BYTES ? window : Buffer.allocUnsafeSlow(WINDOW_BYTES)
      }
      this.#used[other] = 0
    }
  }
}

/** How many of `length` bytes are the same in `a` from `i` on and in `b` from `j` on. */
function sameRun(a: Buffer, i: number, b: Buffer, j: number, length: number): number {
  let done = 0
  const short = Math.min(length, LOOP_BYTES)
  while (done < short && a[i + done] === b[j + done]) done++
  if (done < short) return done
  while (done + CHUNK_BYTES <= length && a.compare(
    b, j + done, j + done + CHUNK_BYTES, i + done, i + done + CHUNK_BYTES) === 0) {
    done += CHUNK_BYTES
  }
  while (done < length && a[i + done] === b[j + done]) done++
  return done
}
