import { type Base, DeltaError, type Sink } from "./base.ts"
import {
  COMMAND_MAX, COPY, COPY_MAX, END, LITERAL, MAGIC, MAGIC_LENGTH, SHORT_MAX,
} from "./commands.ts"

/** Where a patch stands, in the middle of anything; plain data. */
export interface PatchState {
  /** What is being read or done. */
  phase: "magic" | "command" | "literal" | "copy" | "ended"
  /** What has been read of the magic number or of a command, in hexadecimal. */
  partial: string
  /** How much of a literal is still to come, or of a copy to be made. */
  left: number
  /** Where in the base a copy goes on. */
  from: number
  /** Bytes of the target that have been put on. */
  position: number
}

/**
 * What is made is gathered to this before it goes on: a delta of a program has copies of some
 * hundred bytes, and each would be a write by itself.
 */
const PIECE_BYTES = 256 << 10

/**
 * Turns a delta into its target, as it comes: commands are pushed, the target's bytes go to the
 * sink. Its state can be taken between any two pushes and given to another patch of the same base.
 *
 * Everything is checked before it is done; throws `DeltaError`, in balenaEngine's words where it
 * has some, and whatever reading the base throws.
 */
export class Patch {
  readonly #base: Base
  readonly #sink: Sink
  readonly #s: PatchState
  readonly #command = Buffer.alloc(COMMAND_MAX)
  #filled: number
  /** Made, and not yet given to the sink; not there before the first. */
  #piece: Buffer | null = null
  #made = 0

  constructor(base: Base, sink: Sink, state?: PatchState) {
    this.#base = base
    this.#sink = sink
    this.#s = { phase: "magic", partial: "", left: 0, from: 0, position: 0, ...state }
    this.#filled = this.#command.write(this.#s.partial, "hex")
  }

  /** Bytes of the target that have been put on. */
  get position(): number {
    return this.#s.position
  }

  /** Is a copy not at its end? Then there is something to do even without more input. */
  get copying(): boolean {
    return this.#s.phase === "copy"
  }

  /**
   * Takes input from `start` to `end`; answers how much it used: all of it, unless that makes more
   * than `most` bytes of the target. Then call it again with the rest; also with nothing, while it
   * is `copying`. What comes behind the command that ends a delta is ignored.
   */
  push(bytes: Buffer, start: number, end: number, most = Infinity): number {
    const s = this.#s
    const until = s.position + most
    let at = start
    while (at < end && s.position < until || s.phase === "copy" && s.position < until) {
      switch (s.phase) {
        case "copy": this.#copy(until); break
        case "literal": at = this.#literal(bytes, at, end, until); break
        case "ended": at = end; break
        case "magic":
        case "command": at = this.#gather(bytes, at, end)
      }
    }
    this.#flush()
    return at - start
  }

  /** The input ends here: an error, unless the delta has ended. */
  end(): void {
    if (this.#s.phase !== "ended") throw new DeltaError("unexpected EOF")
  }

  /** The state, to be given to another patch. */
  state(): PatchState {
    return { ...this.#s, partial: this.#command.toString("hex", 0, this.#filled) }
  }

  #copy(until: number): void {
    const s = this.#s
    const piece = this.#room()
    const length = Math.min(PIECE_BYTES - this.#made, s.left, until - s.position)
    const got = this.#base.read(s.from, piece.subarray(this.#made, this.#made + length))
    if (got < length) {
      throw new DeltaError(`the base ends at ${s.from + got}, not at ${this.#base.size}`)
    }
    s.from += length
    this.#put(length)
  }

  #literal(bytes: Buffer, at: number, end: number, until: number): number {
    const s = this.#s
    const piece = this.#room()
    const most = Math.min(end, at + s.left, at + until - s.position)
    const length = bytes.copy(piece, this.#made, at, most)
    this.#put(length)
    return at + length
  }

  /** The piece, with room for at least a byte. */
  #room(): Buffer {
    if (this.#made === PIECE_BYTES) this.#flush()
    return this.#piece ??= Buffer.allocUnsafeSlow(PIECE_BYTES)
  }

  #put(length: number): void {
    const s = this.#s
    this.#made += length
    s.left -= length
    s.position += length
    if (s.left === 0) s.phase = "command"
  }

  #flush(): void {
    const made = this.#made
    this.#made = 0
    if (made > 0) this.#sink(this.#piece!, 0, made)
  }

  /** Gathers the magic number or a command; once whole, does it. */
  #gather(bytes: Buffer, at: number, end: number): number {
    const inMagic = this.#s.phase === "magic"
    if (!inMagic && this.#filled === 0) this.#command[this.#filled++] = bytes[at++]!
    const length = inMagic ? MAGIC_LENGTH : lengthOf(this.#command[0]!)
    const to = Math.min(end, at + length - this.#filled)
    this.#filled += bytes.copy(this.#command, this.#filled, at, to)
    if (this.#filled < length) return to
    this.#filled = 0
    if (inMagic) this.#magic()
    else this.#take(this.#command[0]!)
    return to
  }

  #magic(): void {
    const magic = this.#command.readUInt32BE()
    this.#s.phase = "command"
    if (magic !== MAGIC) {
      throw new DeltaError(`Got magic number ${magic.toString(16)} rather than expected value ` +
        MAGIC.toString(16))
    }
  }

  #take(opcode: number): void {
    if (opcode === END) this.#s.phase = "ended"
    else if (opcode <= SHORT_MAX) this.#begin("literal", opcode)
    else if (opcode < COPY) this.#begin("literal", this.#number(1, 1 << opcode - LITERAL))
    else {
      const [width, lengthWidth] = widths(opcode)
      this.#s.from = this.#number(1, width)
      const length = this.#number(1 + width, lengthWidth)
      if (this.#s.from + length > this.#base.size) {
        throw new DeltaError(`a copy of ${length} bytes at ${this.#s.from} of a base of ` +
          `${this.#base.size}: the delta was made against another image`)
      }
      this.#begin("copy", length)
    }
  }

  #begin(phase: "literal" | "copy", length: number): void {
    if (!Number.isSafeInteger(this.#s.position + length)) {
      throw new DeltaError(`a target of more than ${Number.MAX_SAFE_INTEGER} bytes`)
    }
    this.#s.left = length
    if (length > 0) this.#s.phase = phase
  }

  #number(at: number, width: number): number {
    if (width < 8) return this.#command.readUIntBE(at, width)
    const high = this.#command.readUInt32BE(at)
    if (high > 0x1fffff) throw new DeltaError("a position or length of more than 2^53 bytes")
    return high * 2 ** 32 + this.#command.readUInt32BE(at + 4)
  }
}

/** How many bytes a copy's position and its length have. */
const widths = (opcode: number): readonly [number, number] =>
  [1 << (opcode - COPY >> 2), 1 << (opcode - COPY & 3)]

/** How long a command is that begins with this opcode, without the bytes that follow. */
function lengthOf(opcode: number): number {
  if (opcode <= SHORT_MAX) return 1
  if (opcode < COPY) return 1 + (1 << opcode - LITERAL)
  if (opcode > COPY_MAX) throw new DeltaError(`Bogus command ${opcode.toString(16)}`)
  const [width, lengthWidth] = widths(opcode)
  return 1 + width + lengthWidth
}
