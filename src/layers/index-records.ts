import { type Frame, KINDS, PATH_MAX, PIECE } from "./index-format.ts"
import type { PlacedRecord, RecordKind } from "./index-format.ts"
import { bounded, Cursor } from "./varint.ts"

/** The full paths of a frame's records, one behind another. */
class Paths {
  bytes = Buffer.allocUnsafeSlow(16 << 10)
  #last = 0
  /** Where the path put on last ends. */
  end = 0

  /** Puts on a path: `shared` bytes of the one before, and `length` from `at` on in `source`. */
  add(shared: number, source: Buffer, at: number, length: number): void {
    const start = this.end
    this.end += shared + length
    if (this.end > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(this.end, 2 * this.bytes.length))
      this.bytes.copy(larger, 0, 0, start)
      this.bytes = larger
    }
    this.bytes.copyWithin(start, this.#last, this.#last + shared)
    source.copy(this.bytes, start + shared, at, at + length)
    this.#last = start
  }

  /** Of the path put on last. */
  get lastLength(): number {
    return this.end - this.#last
  }
}

/** What a frame's records have in common. */
interface Source {
  readonly bytes: Buffer
  readonly paths: Paths
}

/**
 * A record that makes its path and checksums when they are asked for: reading at random decodes
 * whole frames for a record or two.
 */
class LazyRecord implements PlacedRecord {
  readonly kind: RecordKind
  readonly entry: number
  readonly rawEnd: number
  readonly tarStart: number
  contentLength = 0
  fileOffset = 0
  readonly #source: Source
  readonly #pathEnd: number
  readonly #pathLength: number
  #crcsAt = 0

  constructor(
    kind: RecordKind, entry: number, rawEnd: number, tarStart: number, source: Source,
  ) {
    this.kind = kind
    this.entry = entry
    this.rawEnd = rawEnd
    this.tarStart = tarStart
    this.#source = source
    this.#pathEnd = source.paths.end
    this.#pathLength = source.paths.lastLength
  }

  /** Where a cursor stands that has read kind and path. */
  readContent(cursor: Cursor): void {
    this.contentLength = cursor.varint()
    this.fileOffset = cursor.varint()
    this.#crcsAt = cursor.offset
    cursor.skip(4 * this.#nCrcs)
  }

  get #nCrcs(): number {
    return Math.ceil(this.contentLength / PIECE)
  }

  get path(): Buffer {
    return this.#source.paths.bytes.subarray(this.#pathEnd - this.#pathLength, this.#pathEnd)
  }

  get crcs(): readonly number[] {
    const { bytes } = this.#source
    return Array.from({ length: this.#nCrcs }, (_, n) => bytes.readUInt32LE(this.#crcsAt + 4 * n))
  }
}

/** Reads a frame's records. What is wrong with them is a RangeError. */
export function parseRecords(
  bytes: Buffer, start: Pick<Frame, "tarStart" | "firstEntry" | "raw">,
) {
  const cursor = new Cursor(bytes)
  const source = { bytes, paths: new Paths() }
  const records: LazyRecord[] = []
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
    const shared = bounded(cursor.varint(), source.paths.lastLength)
    const length = bounded(cursor.varint(), PATH_MAX - shared)
    cursor.skip(length)
    source.paths.add(shared, bytes, cursor.offset - length, length)
    if (kind !== "continued") nextEntry++
    const record = new LazyRecord(kind, nextEntry - 1, rawEnd, tarEnd, source)
    if (kind === "content" || kind === "continued") record.readContent(cursor)
    records.push(record)
    tarEnd += record.contentLength
  }
  return { records, tarEnd: tarEnd + start.raw.length - rawEnd, nextEntry }
}
