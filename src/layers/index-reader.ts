import { crc32, unzstd } from "../kernel/zlib.ts"
import { LayerDamaged } from "./damage.ts"
import {
  FOOTER_FRAME_LENGTH, FRAME_HEADER_LENGTH, FRAME_RAW_MAX, FRAME_RECORDS_MAX,
  HEADER_LENGTH, KINDS, PATH_MAX, PIECE, TRAILER_LENGTH, VERSION,
} from "./index-format.ts"
import type { Frame, FrameRef, Move, PlacedRecord, ReadAt, Saved } from "./index-format.ts"
import { Cursor } from "./varint.ts"

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
   * each frame to `each`. The answer is what `IndexWriter` needs to go on behind them.
   */
  static saved(readAt: ReadAt, length: number, each?: (frame: Frame) => void): Saved {
    if (length < HEADER_LENGTH) throw damaged("it is shorter than its header")
    checkHeader(readAt)
    const frames: FrameRef[] = []
    let [fileOffset, tarPosition, nextEntry] = [HEADER_LENGTH, 0, 0]
    while (fileOffset < length) {
      const { frame, clen } = readFrame(readAt, fileOffset, length)
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

  /** Reads and decodes a frame. */
  frame(number: number): Frame {
    const ref = this.#frames[number]
    if (ref === undefined) throw new RangeError(`index: no frame ${number}`)
    const { frame, clen } = readFrame(this.#readAt, ref.fileOffset,
      ref.fileOffset + FRAME_HEADER_LENGTH + ref.clen)
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

const exactly = (readAt: ReadAt, length: number, offset: number): Buffer => {
  const buffer = Buffer.allocUnsafe(length)
  if (readAt(buffer, offset) !== length) throw damaged("it ends too early")
  return buffer
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

const bounded = (value: number, most: number): number => {
  if (value > most) throw new RangeError("a length in it is too large")
  return value
}

/** Reads the frame at `offset`, which must end at or before `limit`. */
function readFrame(
  readAt: ReadAt, offset: number, limit: number,
): { readonly frame: Frame; readonly clen: number } {
  const at = `the frame at ${offset}`
  if (limit - offset < FRAME_HEADER_LENGTH) throw damaged(`${at} ends too early`)
  const header = exactly(readAt, FRAME_HEADER_LENGTH, offset)
  const clen = header.readUInt32LE(4)
  const rawLength = header.readUInt32LE(8)
  const recordsLength = header.readUInt32LE(12)
  if (header.toString("latin1", 0, 4) !== "FRM1") throw damaged(`${at} does not begin as one`)
  if (clen > limit - offset - FRAME_HEADER_LENGTH) throw damaged(`${at} ends too early`)
  const payload = exactly(readAt, clen, offset + FRAME_HEADER_LENGTH)
  if (crc32(payload, crc32(header.subarray(0, 40))) !== header.readUInt32LE(40)) {
    throw damaged(`${at} has another checksum`)
  }
  if (rawLength > FRAME_RAW_MAX || recordsLength > FRAME_RECORDS_MAX) {
    throw damaged(`${at} is too large`)
  }
  const plain = unzstd(payload, rawLength + recordsLength)
  if (plain === null) throw damaged(`${at} cannot be decompressed`)
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

function parseRecords(
  bytes: Buffer, start: Pick<Frame, "tarStart" | "firstEntry" | "raw">,
) {
  const cursor = new Cursor(bytes)
  const records: PlacedRecord[] = []
  let path: Buffer = Buffer.alloc(0)
  let rawEnd = 0
  let tarEnd = start.tarStart
  let nextEntry = start.firstEntry
  while (cursor.left > 0) {
    const rawBefore = bounded(cursor.varint(), start.raw.length - rawEnd)
    rawEnd += rawBefore
    tarEnd += rawBefore
    const kind = KINDS[cursor.byte()]
    if (kind === undefined) throw new RangeError("an entry is of no known kind")
    if (kind === "continued" && nextEntry === 0) throw new RangeError("it continues nothing")
    const shared = bounded(cursor.varint(), path.length)
    const rest = cursor.bytes(bounded(cursor.varint(), PATH_MAX - shared))
    path = Buffer.concat([path.subarray(0, shared), rest])
    const content = kind === "content" || kind === "continued"
    const contentLength = content ? cursor.varint() : 0
    const fileOffset = content ? cursor.varint() : 0
    const nCrcs = bounded(Math.ceil(contentLength / PIECE), cursor.left / 4)
    const crcs = Array.from({ length: nCrcs }, () => cursor.u32())
    if (kind !== "continued") nextEntry++
    records.push({
      kind, entry: nextEntry - 1, path, rawEnd, tarStart: tarEnd, contentLength, fileOffset, crcs,
    })
    tarEnd += contentLength
  }
  return { records, tarEnd: tarEnd + start.raw.length - rawEnd, nextEntry }
}
