import type { Sink } from "./base.ts"
import { type Anchors, BLOCK_BYTES } from "./anchors.ts"
import { CommandWriter, LITERAL_BYTES_MAX } from "./commands.ts"

/** How much of the target is kept: a literal of full length, and room to read on. */
const BUFFER_BYTES = LITERAL_BYTES_MAX + (1 << 20)
/**
 * Behind a copy its own neighbourhood is tried so far, for runs of at least so many bytes: larger
 * gaps and shorter runs were tried, and made larger deltas.
 */
const GAP_MAX = 24
const NEAR_MIN = 32
/** What must be in the buffer before anything is decided, unless the target ends. */
const AHEAD_BYTES = GAP_MAX + NEAR_MIN + BLOCK_BYTES

/** What a delta is made of. */
export interface DeltaSums {
  /** Bytes of the target that are copied from the base. */
  readonly copied: number
  /** Bytes that the delta brings along. */
  readonly literal: number
}

/**
 * Makes the delta of a target that comes as a stream against an indexed base, greedily: behind each
 * copy first what follows in the base is tried again, over a few changed bytes (of a tar's header,
 * mostly); then each block of the target is looked up, and what is found grows both ways as far as
 * it is the same. The delta is understood by every balenaEngine.
 *
 * `push` the target, `end` it; commands go to the sink. One index serves many encoders, one after
 * another.
 */
export class Encoder {
  readonly #index: Anchors
  readonly #commands: CommandWriter
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  #end = 0
  /** What is before this has become commands; what is before `#at` has been looked at. */
  #literal = 0
  #at = 0
  /** Where in the base stands what follows the last copy. */
  #next = 0
  #phase: "copy" | "gap" | "search" = "search"
  #copied = 0
  #taken = 0

  constructor(index: Anchors, sink: Sink) {
    this.#index = index
    this.#commands = new CommandWriter(sink)
  }

  /** Takes the target's next bytes. */
  push(bytes: Buffer, start = 0, end = bytes.length): void {
    for (let at = start; at < end;) {
      if (this.#end === BUFFER_BYTES) this.#makeRoom()
      const length = Math.min(end - at, BUFFER_BYTES - this.#end)
      bytes.copy(this.#buffer, this.#end, at, at + length)
      this.#end += length
      this.#taken += length
      at += length
      this.#work(this.#end - AHEAD_BYTES)
    }
  }

  /** The target ends here. */
  end(): DeltaSums {
    this.#work(this.#end)
    this.#put(this.#end)
    this.#commands.end()
    return { copied: this.#copied, literal: this.#taken - this.#copied }
  }

  /** Moves to the front what has not become commands. */
  #makeRoom(): void {
    if (this.#at - this.#literal >= LITERAL_BYTES_MAX) this.#put(this.#at)
    this.#buffer.copyWithin(0, this.#literal, this.#end)
    this.#end -= this.#literal
    this.#at -= this.#literal
    this.#literal = 0
  }

  /** Looks at the target up to `limit`, and at what is needed behind it. */
  #work(limit: number): void {
    while (this.#phase === "copy" || this.#at < limit) {
      if (this.#phase === "copy") {
        if (!this.#copy()) return
      } else if (this.#phase === "gap") this.#gap()
      else this.#search(limit)
    }
  }

  /** Copies as far as base and target are the same; false: the buffer ended first. */
  #copy(): boolean {
    const length = this.#index.windows.same(this.#next, this.#buffer, this.#at, this.#end)
    this.#commands.copy(this.#next, length)
    this.#copied += length
    this.#next += length
    this.#at += length
    this.#literal = this.#at
    if (this.#at === this.#end) return false
    this.#phase = "gap"
    return true
  }

  /** Are base and target the same again a little behind where they were? */
  #gap(): void {
    const { windows } = this.#index
    const last = Math.min(GAP_MAX, this.#end - this.#at - NEAR_MIN, windows.size - this.#next)
    this.#phase = "search"
    for (let gap = 1; gap <= last;) {
      const same = windows.same(
        this.#next + gap, this.#buffer, this.#at + gap, this.#at + gap + NEAR_MIN)
      if (same === NEAR_MIN) {
        this.#found(this.#at + gap, this.#next + gap)
        return
      }
      gap += same + 1
    }
  }

  /** Looks up blocks until one is found, or the next one would begin at or behind `limit`. */
  #search(limit: number): void {
    const last = Math.min(limit, this.#end - BLOCK_BYTES + 1)
    for (let at = this.#at; at < last; at++) {
      at = this.#index.search(this.#buffer, at, last)
      if (at < last && this.#match(at, this.#index.found)) return
    }
    this.#at = limit
  }

  /**
   * Copies what is the same around `at`: as the last copy went on, if that fits, else as the base
   * has it at `position`, if it does.
   */
  #match(at: number, position: number): boolean {
    const straight = this.#next + at - this.#literal
    return this.#grow(at, straight) || this.#grow(at, position)
  }

  #grow(at: number, position: number): boolean {
    const { windows } = this.#index
    const same = windows.same(position, this.#buffer, at, at + BLOCK_BYTES)
    if (same < BLOCK_BYTES) return false
    const before = windows.sameBefore(position, this.#buffer, at, this.#literal)
    this.#found(at - before, position - before)
    return true
  }

  #found(at: number, position: number): void {
    this.#put(at)
    this.#at = at
    this.#next = position
    this.#phase = "copy"
  }

  /** Makes a literal of what has become no command, up to `end`. */
  #put(end: number): void {
    if (end > this.#literal) this.#commands.literal(this.#buffer, this.#literal, end)
    this.#literal = end
  }
}
