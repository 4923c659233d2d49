import { unzstd } from "../kernel/unzstd.ts"
import { crc32 } from "../kernel/zlib.ts"
import { LayerDamaged } from "./damage.ts"
import {
  FOOTER_FRAME_LENGTH, FRAME_HEADER_LENGTH, FRAME_RAW_MAX, FRAME_RECORDS_MAX,
  HEADER_LENGTH, PATH_MAX, TRAILER_LENGTH, VERSION,
} from "./index-format.ts"
import type { Frame, FrameRef, Move, ReadAt, Saved } from "./index-format.ts"
import { parseRecords } from "./index-records.ts"
import { bounded, Cursor } from "./varint.ts"

const damaged = (cause: string) => new LayerDamaged({ file: "index", cause })

/**
 * Reads a finished index. Holds its frame table and moves; frames are decoded when asked for, and
 * not kept. Every method throws `LayerDamaged` for what is not exactly as it was written.
 */
export class IndexReader {
  readonly tarSize: number
  readonly diffId: Buffer
  readonly nEntries: number
  readonly moves: readonly Move[]
  readonly #frames: readonly FrameRef[]
  readonly #readAt: ReadAt

  private constructor(readAt: ReadAt, footer: ParsedFooter) {
    this.#readAt = readAt
    this.#frames = footer.frames
    this.moves = footer.moves
    this.tarSize = footer.tarSize
    this.diffId = footer.diffId
    this.nEntries = footer.nEntries
  }

  /** Reads header, trailer and footer of an index file of `size` bytes. */
  static open(readAt: ReadAt, size: number): IndexReader {
    if (size < HEADER_LENGTH + TRAILER_LENGTH) throw damaged("it is too short to be finished")
    checkHeader(readAt)
    const trailer = exactly(readAt, TRAILER_LENGTH, size - TRAILER_LENGTH)
    if (trailer.toString("latin1", 16) !== "XITB") throw damaged("it was never finished")
    const footerOffset = Number(trailer.readBigUInt64LE(0))
    const footerLength = trailer.readUInt32LE(8)
    if (footerOffset < HEADER_LENGTH || footerOffset + footerLength + TRAILER_LENGTH !== size) {
      throw damaged("its end names another length")
    }
    const footer = exactly(readAt, footerLength, footerOffset)
    if (crc32(trailer.subarray(0, 12), crc32(footer)) !== trailer.readUInt32LE(12)) {
      throw damaged("its footer's checksum does not match")
    }
    return new IndexReader(readAt, whole("its footer", () => parseFooter(footer, footerOffset)))
  }

  /**
   * Reads the first `length` bytes of an unfinished index, which end with a closed frame, giving
   * each frame to `each`, good until it returns. The answer is what `IndexWriter` needs to go on
   * behind them.
   */
  static saved(readAt: ReadAt, length: number, each?: (frame: Frame) => void): Saved {
    let plain = Buffer.alloc(0)
    const room: Room = (wanted) => {
      if (plain.length < wanted) plain = Buffer.allocUnsafeSlow(Math.max(wanted, 512 << 10))
      return plain
    }
    if (length < HEADER_LENGTH) throw damaged("it is shorter than its header")
    checkHeader(readAt)
    const frames: FrameRef[] = []
    let [fileOffset, tarPosition, nextEntry] = [HEADER_LENGTH, 0, 0]
    while (fileOffset < length) {
      const { frame, clen } = readFrame(readAt, fileOffset, length, room)
      if (frame.tarStart !== tarPosition || frame.firstEntry !== nextEntry) {
        throw damaged(`the frame at ${fileOffset} does not follow the one before`)
      }
      frames.push({ tarStart: tarPosition, fileOffset, clen, firstEntry: nextEntry })
      fileOffset += FRAME_HEADER_LENGTH + clen
      tarPosition = frame.tarEnd
      nextEntry += frame.nEntries
      each?.(frame)
    }
    return { length, nextEntry, tarPosition, frames }
  }

  /** How many frames there are. */
  get frameCount(): number {
    return this.#frames.length
  }

  /** Number of the frame that covers this byte of the tar; `position` < `tarSize`. */
  frameAt(position: number): number {
    let [low, high] = [0, this.#frames.length]
    while (high - low > 1) {
      const middle = low + high >>> 1
      if (this.#frames[middle]!.tarStart <= position) low = middle
      else high = middle
    }
    return low
  }

  /** Where in the tar a frame begins. */
  startOf(number: number): number {
    return this.#frames[number]?.tarStart ?? 0
  }

  /** Reads and decodes a frame, into a buffer that `room` gives for so many bytes. */
  frame(number: number, room: Room = freshRoom): Frame {
    const ref = this.#frames[number]
    if (ref === undefined) throw new RangeError(`index: no frame ${number}`)
    const { frame, clen } = readFrame(this.#readAt, ref.fileOffset,
      ref.fileOffset + FRAME_HEADER_LENGTH + ref.clen, room)
    const next = this.#frames[number + 1]
    const [tarEnd, entryEnd] = [next?.tarStart ?? this.tarSize, next?.firstEntry ?? this.nEntries]
    if (clen !== ref.clen || frame.tarStart !== ref.tarStart || frame.tarEnd !== tarEnd ||
      frame.firstEntry !== ref.firstEntry || frame.firstEntry + frame.nEntries !== entryEnd) {
      throw damaged(`frame ${number} is not the one its footer names`)
    }
    return frame
  }

  /** All frames, in order. */
  *frames(): Generator<Frame> {
    for (let number = 0; number < this.#frames.length; number++) yield this.frame(number)
  }
}

interface ParsedFooter {
  readonly frames: readonly FrameRef[]
  readonly moves: readonly Move[]
  readonly tarSize: number
  readonly diffId: Buffer
  readonly nEntries: number
}

/** Gives a buffer of at least so many bytes. */
type Room = (length: number) => Buffer

const freshRoom: Room = (length) => Buffer.allocUnsafe(length)

const exactly = (
  readAt: ReadAt, length: number, offset: number, room: Room = freshRoom,
): Buffer => {
  const buffer = room(length).subarray(0, length)
  if (readAt(buffer, offset) !== length) throw damaged("it ends too early")
  return buffer
}

/** For what is compressed: no longer needed once it has been decoded. */
let scratch = Buffer.alloc(0)
const scratchRoom: Room = (length) => {
  if (scratch.length < length) scratch = Buffer.allocUnsafeSlow(Math.max(length, 64 << 10))
  return scratch
}

/** Turns what a cursor found wrong into damage. */
const whole = <A>(what: string, parse: () => A): A => {
  try {
    return parse()
  } catch (error) {
    if (error instanceof RangeError) throw damaged(`${what} cannot be read: ${error.message}`)
    throw error
  }
}

function checkHeader(readAt: ReadAt): void {
  const header = exactly(readAt, HEADER_LENGTH, 0)
  if (header.toString("latin1", 0, 4) !== "BTIX") throw damaged("it is no tar index")
  const version = header.readUInt16LE(4)
  if (version !== VERSION) throw damaged(`it has format version ${version}, not ${VERSION}`)
  if (header.readUInt16LE(6) !== 0) throw damaged("it has flags that do not exist")
}

function parseFooter(footer: Buffer, footerOffset: number): ParsedFooter {
  const cursor = new Cursor(footer)
  const nFrames = cursor.u32()
  if (nFrames * FOOTER_FRAME_LENGTH > cursor.left) throw new RangeError("too many frames")
  const frames: FrameRef[] = []
  let expected = HEADER_LENGTH
  for (let n = 0; n < nFrames; n++) {
    const frame = {
      tarStart: cursor.u64(), fileOffset: cursor.u64(),
      clen: cursor.u32(), firstEntry: cursor.u32(),
    }
    const before = frames.at(-1)
    if (frame.fileOffset !== expected || frame.tarStart < (before?.tarStart ?? 0) ||
      frame.firstEntry < (before?.firstEntry ?? 0) || before === undefined && frame.tarStart > 0) {
      throw new RangeError(`frame ${n} is out of place`)
    }
    expected += FRAME_HEADER_LENGTH + frame.clen
    frames.push(frame)
  }
  if (expected !== footerOffset) throw new RangeError("frames and footer do not meet")
  const moves = Array.from({ length: bounded(cursor.u32(), cursor.left / 5) }, () =>
    ({ entry: cursor.u32(), path: cursor.bytes(bounded(cursor.varint(), PATH_MAX)) }))
  const tarSize = cursor.u64()
  const diffId = cursor.bytes(32)
  const nEntries = cursor.u32()
  const last = frames.at(-1)
  if (cursor.left !== 0 || (last?.tarStart ?? 0) > tarSize || (last?.firstEntry ?? 0) > nEntries ||
    last === undefined && tarSize > 0 || moves.some(({ entry }) => entry >= nEntries)) {
    throw new RangeError("its sums do not agree")
  }
  return { frames, moves, tarSize, diffId, nEntries }
}

/** Reads the frame at `offset`, which must end at or before `limit`. */
function readFrame(
  readAt: ReadAt, offset: number, limit: number, room: Room,
): { readonly frame: Frame; readonly clen: number } {
  const at = `the frame at ${offset}`
  if (limit - offset < FRAME_HEADER_LENGTH) throw damaged(`${at} ends too early`)
  const header = exactly(readAt, FRAME_HEADER_LENGTH, offset)
  const clen = header.readUInt32LE(4)
  const rawLength = header.readUInt32LE(8)
  const recordsLength = header.readUInt32LE(12)
  if (header.toString("latin1", 0, 4) !== "FRM1") throw damaged(`${at} does not begin as one`)
  if (clen > limit - offset - FRAME_HEADER_LENGTH) throw damaged(`${at} ends too early`)
  const payload = exactly(readAt, clen, offset + FRAME_HEADER_LENGTH, scratchRoom)
  if (crc32(payload, crc32(header.subarray(0, 40))) !== header.readUInt32LE(40)) {
    throw damaged(`${at} has another checksum`)
  }
  if (rawLength > FRAME_RAW_MAX || recordsLength > FRAME_RECORDS_MAX) {
    throw damaged(`${at} is too large`)
  }
  const plain = room(rawLength + recordsLength).subarray(0, rawLength + recordsLength)
  if (plain.length === 0 || !unzstd(payload, plain)) throw damaged(`${at} cannot be decompressed`)
  const start = {
    tarStart: whole(at, () => new Cursor(header, 16).u64()),
    firstEntry: header.readUInt32LE(32),
    raw: plain.subarray(0, rawLength),
  }
  const { records, tarEnd, nextEntry } =
    whole(at, () => parseRecords(plain.subarray(rawLength), start))
  const nEntries = nextEntry - start.firstEntry
  if (nEntries !== header.readUInt32LE(36) || BigInt(tarEnd) !== header.readBigUInt64LE(24)) {
    throw damaged(`${at} does not hold what it says`)
  }
  return { frame: { ...start, tarEnd, nEntries, records }, clen }
}
