import { crc32, zstd } from "../kernel/zlib.ts"
import {
  FOOTER_END_LENGTH, FOOTER_FRAME_LENGTH, FRAME_HEADER_LENGTH, FRAME_RAW_MAX,
  FRAME_RECORDS_TARGET, HEADER_LENGTH, KINDS, PATH_MAX, PIECE, TRAILER_LENGTH, VERSION,
} from "./index-format.ts"
import type { Footer, FrameRef, IndexRecord, Saved } from "./index-format.ts"
import { varintLength, writeVarint } from "./varint.ts"

/** What ends a segment of content: the part of its record that is reckoned from its bytes. */
export interface Segment {
  readonly contentLength: number
  readonly fileOffset: number
  readonly crcs: readonly number[]
}

/** Sums the content of one file, segment by segment, as its bytes go by. */
export class Pieces {
  #fileOffset: number
  #length = 0
  #crc = 0
  #crcs: number[] = []

  /** `fileOffset`: where in the file the first segment begins. */
  constructor(fileOffset = 0) {
    this.#fileOffset = fileOffset
  }

  update(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      const room = PIECE - this.#length % PIECE
      const part = bytes.subarray(at, at + room)
      this.#crc = crc32(part, this.#crc)
      this.#length += part.length
      at += part.length
      if (part.length === room) this.#endPiece()
    }
  }

  /** Ends the segment; the next begins where it ended, or at `next` (behind a hole). */
  end(next?: number): Segment {
    if (this.#length % PIECE !== 0) this.#endPiece()
    const segment = {
      contentLength: this.#length, fileOffset: this.#fileOffset, crcs: this.#crcs,
    }
    this.#fileOffset = next ?? this.#fileOffset + this.#length
    this.#length = 0
    this.#crcs = []
    return segment
  }

  #endPiece(): void {
    this.#crcs.push(this.#crc)
    this.#crc = 0
  }
}

/**
 * Writes a layer's tar index as its tar goes by; `index-format.ts` says what to call when. Each
 * frame is one `append`. Holds 256 KiB of raw bytes and the records that go with them.
 */
export class IndexWriter {
  readonly #append: (bytes: Buffer) => void
  readonly #frames: FrameRef[]
  readonly #raw = Buffer.allocUnsafeSlow(FRAME_RAW_MAX)
  #rawLength = 0
  #rawAtRecord = 0
  #records = Buffer.allocUnsafe(16 << 10)
  #recordsLength = 0
  #path: Buffer = Buffer.alloc(0)
  #length: number
  #nextEntry: number
  #firstEntry: number
  #tarStart: number
  #tarPosition: number

  /** Fresh: writes the header. `from` (of `IndexReader.saved`): goes on behind the last frame. */
  constructor(append: (bytes: Buffer) => void, from?: Saved) {
    this.#append = append
    this.#frames = [...from?.frames ?? []]
    this.#length = from?.length ?? 0
    this.#nextEntry = this.#firstEntry = from?.nextEntry ?? 0
    this.#tarPosition = this.#tarStart = from?.tarPosition ?? 0
    if (from === undefined) {
      const header = Buffer.alloc(HEADER_LENGTH)
      header.write("BTIX", "latin1")
      header.writeUInt16LE(VERSION, 4)
      this.#put(header)
    }
  }

  /** Length of the file: header and closed frames. */
  get length(): number {
    return this.#length
  }

  /** The number that the next entry will have. */
  get nextEntry(): number {
    return this.#nextEntry
  }

  /** How much of the tar has been told, in raw bytes and recorded content. */
  get tarPosition(): number {
    return this.#tarPosition
  }

  /** Tar bytes that are not file content, in order. Copies them. */
  raw(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      const copied = bytes.copy(this.#raw, this.#rawLength, at)
      at += copied
      this.#rawLength += copied
      this.#tarPosition += copied
      if (this.#rawLength === FRAME_RAW_MAX) this.closeFrame(this.#tarPosition)
    }
  }

  /** An entry, or a further segment of one, whose content has just gone by. */
  record(record: IndexRecord): void {
    const { kind, path } = record
    const content = kind === "content" || kind === "continued"
    const { contentLength = 0, fileOffset = 0, crcs = [] } = record
    if (path.length > PATH_MAX) throw new Error("index: a path is too long")
    if (!content && contentLength > 0) throw new Error(`index: a ${kind} entry with content`)
    if (kind === "continued" && this.#nextEntry === 0) throw new Error("index: continues nothing")
    if (crcs.length !== Math.ceil(contentLength / PIECE)) throw new Error("index: not all CRCs")

    const rawBefore = this.#rawLength - this.#rawAtRecord
    const shared = commonPrefix(this.#path, path)
    this.#reserve(40 + path.length - shared + 4 * crcs.length)
    const out = this.#records
    let at = writeVarint(out, rawBefore, this.#recordsLength)
    out[at++] = KINDS.indexOf(kind)
    at = writeVarint(out, shared, at)
    at = writeVarint(out, path.length - shared, at)
    at += path.copy(out, at, shared)
    if (content) {
      at = writeVarint(out, contentLength, at)
      at = writeVarint(out, fileOffset, at)
      for (const crc of crcs) at = out.writeUInt32LE(crc >>> 0, at)
    }
    this.#recordsLength = at
    this.#rawAtRecord = this.#rawLength
    this.#path = Buffer.from(path)
    this.#tarPosition += contentLength
    if (kind !== "continued") this.#nextEntry++
    if (at >= FRAME_RECORDS_TARGET) this.closeFrame(this.#tarPosition)
  }

  /**
   * Closes the open frame, if anything is in it; answers the file's length. `tarEnd` is where the
   * caller thinks the tar stands: a difference is a mistake of the caller, found here at once.
   */
  closeFrame(tarEnd: number): number {
    if (tarEnd !== this.#tarPosition) {
      throw new Error(`index: the tar is at ${tarEnd}, but ${this.#tarPosition} bytes were told`)
    }
    if (this.#rawLength === 0 && this.#recordsLength === 0) return this.#length
    const payload = zstd(Buffer.concat([
      this.#raw.subarray(0, this.#rawLength), this.#records.subarray(0, this.#recordsLength),
    ]))
    const frame = Buffer.allocUnsafe(FRAME_HEADER_LENGTH + payload.length)
    frame.write("FRM1", "latin1")
    frame.writeUInt32LE(payload.length, 4)
    frame.writeUInt32LE(this.#rawLength, 8)
    frame.writeUInt32LE(this.#recordsLength, 12)
    frame.writeBigUInt64LE(BigInt(this.#tarStart), 16)
    frame.writeBigUInt64LE(BigInt(tarEnd), 24)
    frame.writeUInt32LE(this.#firstEntry, 32)
    frame.writeUInt32LE(this.#nextEntry - this.#firstEntry, 36)
    frame.writeUInt32LE(crc32(payload, crc32(frame.subarray(0, 40))), 40)
    payload.copy(frame, FRAME_HEADER_LENGTH)
    this.#frames.push({
      tarStart: this.#tarStart, fileOffset: this.#length,
      clen: payload.length, firstEntry: this.#firstEntry,
    })
    this.#put(frame)
    this.#rawLength = this.#rawAtRecord = this.#recordsLength = 0
    this.#path = this.#path.subarray(0, 0)
    this.#tarStart = tarEnd
    this.#firstEntry = this.#nextEntry
    return this.#length
  }

  /** Closes the last frame and writes the footer. Nothing may follow. */
  finish({ moves, tarSize, diffId }: Footer): void {
    this.closeFrame(tarSize)
    if (diffId.length !== 32) throw new Error("index: a diff ID is 32 bytes")
    const movesLength = moves.reduce(
      (sum, { path }) => sum + 4 + varintLength(path.length) + path.length, 0)
    const footerLength =
      4 + FOOTER_FRAME_LENGTH * this.#frames.length + 4 + movesLength + FOOTER_END_LENGTH
    const out = Buffer.allocUnsafe(footerLength + TRAILER_LENGTH)
    let at = out.writeUInt32LE(this.#frames.length, 0)
    for (const frame of this.#frames) {
      at = out.writeBigUInt64LE(BigInt(frame.tarStart), at)
      at = out.writeBigUInt64LE(BigInt(frame.fileOffset), at)
      at = out.writeUInt32LE(frame.clen, at)
      at = out.writeUInt32LE(frame.firstEntry, at)
    }
    at = out.writeUInt32LE(moves.length, at)
    for (const { entry, path } of moves) {
      if (entry >= this.#nextEntry) throw new Error("index: a move by an entry that is not")
      at = writeVarint(out, path.length, out.writeUInt32LE(entry, at))
      at += path.copy(out, at)
    }
    at = out.writeBigUInt64LE(BigInt(tarSize), at)
    at += diffId.copy(out, at)
    at = out.writeUInt32LE(this.#nextEntry, at)
    at = out.writeBigUInt64LE(BigInt(this.#length), at)
    at = out.writeUInt32LE(footerLength, at)
    at = out.writeUInt32LE(crc32(out.subarray(0, at)), at)
    out.write("XITB", at, "latin1")
    this.#put(out)
  }

  #put(bytes: Buffer): void {
    this.#append(bytes)
    this.#length += bytes.length
  }

  #reserve(length: number): void {
    const needed = this.#recordsLength + length
    if (needed <= this.#records.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#records.length))
    this.#records.copy(larger, 0, 0, this.#recordsLength)
    this.#records = larger
  }
}

const commonPrefix = (a: Buffer, b: Buffer): number => {
  const most = Math.min(a.length, b.length)
  let length = 0
  while (length < most && a[length] === b[length]) length++
  return length
}
