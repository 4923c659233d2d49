import { Errno } from "../kernel/libc.ts"
import { tidy } from "../kernel/memory.ts"
import {
  closeFile, fileSize, openForReading, openDirectory, openFile, readAt, readQuietly,
} from "../kernel/readers.ts"
import { crc32 } from "../kernel/zlib.ts"
import { LayerDamaged } from "./damage.ts"
import { IndexReader, PIECE } from "./index.ts"
import type { Frame, Move, PlacedRecord } from "./index.ts"
import { Recent } from "./recent.ts"

/** A checked piece of a file's content, in a buffer that is used again. */
interface Piece {
  readonly buffer: Buffer
  readonly length: number
}

/**
 * What a reader of a layer keeps in memory: four decoded frames, four pieces, one open file; some 5
 * MiB.
 */
class LayerCache {
  readonly frames = new Recent<number, Frame>(4)
  readonly files = new Recent<string, number>(1, closeFile)
  readonly pieces = new Recent<number, Piece>(4, ({ buffer }) => this.#spare.push(buffer))
  readonly #spare: Buffer[] = []

  /** A buffer with room for `length` bytes of at most a piece. */
  buffer(length: number): Buffer {
    const spare = this.#spare.pop()
    if (spare !== undefined && spare.length >= length) return spare
    return Buffer.allocUnsafeSlow(Math.min(PIECE, Math.max(2 * length, 64 << 10)))
  }
}

/** New buffers beyond this are worth a collection: V8 counts them late, and lets 100 MB gather. */
const GARBAGE_BYTES = 4 << 20

/**
 * The tar that a layer was extracted from, bit for bit, out of the layer's `index`, `diff/` and
 * `shadow/`. Every byte is checked against its CRC-32 before it is given out: what is not as it was
 * extracted is `LayerDamaged`, naming the file. Reading leaves access times and page cache alone.
 */
export class LayerTar {
  /** Bytes of the tar. */
  readonly size: number
  /** `sha256:…`, what the tar hashes to. */
  readonly diffId: string
  readonly #directory: string
  readonly #directoryFd: number
  readonly #indexFd: number
  readonly #index: IndexReader
  readonly #moves: ReadonlyMap<string, readonly number[]>
  readonly #cache = new LayerCache()

  private constructor(directory: string, fds: readonly [number, number], index: IndexReader) {
    this.#directory = directory
    this.#directoryFd = fds[0]
    this.#indexFd = fds[1]
    this.#index = index
    this.#moves = byPath(index.moves)
    this.size = index.tarSize
    this.diffId = `sha256:${index.diffId.toString("hex")}`
  }

  /** Opens `<data-root>/overlay2/<id>`; close it again. Throws `LayerDamaged` and `Errno`. */
  static open(directory: string): LayerTar {
    const opened: number[] = []
    try {
      const directoryFd = openDirectory(directory)
      opened.push(directoryFd)
      const indexFd = openFile(`${directory}/index`)
      opened.push(indexFd)
      const index = IndexReader.open(
        (buffer, offset) => readAt(indexFd, buffer, offset), fileSize(indexFd))
      return new LayerTar(directory, [directoryFd, indexFd], index)
    } catch (error) {
      opened.forEach(closeFile)
      throw located(error, directory, "index")
    }
  }

  close(): void {
    this.#cache.files.clear()
    closeFile(this.#indexFd)
    closeFile(this.#directoryFd)
  }

  /** Fills `buffer` with the tar's bytes from `position` on; short only at the end. */
  read(position: number, buffer: Buffer): number {
    let done = 0
    while (done < buffer.length && position + done < this.size) {
      done += this.#readSome(position + done, buffer.subarray(done))
    }
    return done
  }

  /** The whole tar in order, in buffers of `length` bytes that are the caller's to keep. */
  *chunks(length = 256 << 10): Generator<Buffer> {
    let garbage = 0
    for (let at = 0; at < this.size;) {
      const chunk = Buffer.allocUnsafeSlow(Math.min(length, this.size - at))
      at += this.read(at, chunk)
      yield chunk
      garbage += chunk.length
      if (garbage < GARBAGE_BYTES) continue
      tidy()
      garbage = 0
    }
  }

  /** As much as one run of raw bytes, or one piece of content, has of what is asked for. */
  #readSome(position: number, buffer: Buffer): number {
    const frame = this.#frameAt(position)
    const { records } = frame
    const before = lastAtOrBefore(records, position)
    const record = records[before]
    const contentEnd =
      record === undefined ? frame.tarStart : record.tarStart + record.contentLength
    if (record !== undefined && position < contentEnd) {
      return this.#readContent(record, position - record.tarStart, buffer)
    }
    let next = before + 1
    while (records[next]?.contentLength === 0) next++
    const start = (record?.rawEnd ?? 0) + position - contentEnd
    return frame.raw.copy(buffer, 0, start, records[next]?.rawEnd ?? frame.raw.length)
  }

  #frameAt(position: number): Frame {
    const number = this.#index.frameAt(position)
    const held = this.#cache.frames.get(number)
    if (held !== undefined) return held
    try {
      return this.#cache.frames.set(number, this.#index.frame(number))
    } catch (error) {
      throw located(error, this.#directory, "index")
    }
  }

  /** Content of a segment from `at` on, to the end of its piece at most. */
  #readContent(record: PlacedRecord, at: number, buffer: Buffer): number {
    const number = Math.floor(at / PIECE)
    const inPiece = at - number * PIECE
    const length = Math.min(PIECE, record.contentLength - number * PIECE)
    if (inPiece === 0 && buffer.length >= length) {
      this.#load(record, number, buffer.subarray(0, length))
      return length
    }
    const key = record.tarStart + number * PIECE
    let piece = this.#cache.pieces.get(key)
    if (piece === undefined) {
      piece = { buffer: this.#cache.buffer(length), length }
      this.#load(record, number, piece.buffer.subarray(0, length))
      this.#cache.pieces.set(key, piece)
    }
    return piece.buffer.copy(buffer, 0, inPiece, piece.length)
  }

  /** Reads a piece from its file, whole, and checks it. */
  #load(record: PlacedRecord, number: number, into: Buffer): void {
    const path = this.#placeOf(record)
    const offset = record.fileOffset + number * PIECE
    try {
      const got = readQuietly(this.#open(path), into, offset)
      const missing = into.length - got
      if (missing > 0) throw this.#damaged(path, `it ends ${missing} bytes too early`)
    } catch (error) {
      throw located(error, this.#directory, path.toString())
    }
    if (crc32(into) !== record.crcs[number]) {
      throw this.#damaged(path,
        `bytes ${offset} to ${offset + into.length} are not those that were extracted`)
    }
  }

  #open(path: Buffer): number {
    const key = path.toString("latin1")
    return this.#cache.files.get(key) ??
      this.#cache.files.set(key, openForReading(this.#directoryFd, path))
  }

  /** Where the content of an entry lies now, below the layer's directory. */
  #placeOf({ entry, path }: PlacedRecord): Buffer {
    let [first, rest] = [Infinity, 0]
    let end = this.#moves.size === 0 ? 0 : path.length
    for (; end > 0; end = path.lastIndexOf(SLASH, end - 1)) {
      const moves = this.#moves.get(path.toString("latin1", 0, end)) ?? []
      const move = moves.find((k) => k > entry)
      if (move !== undefined && move < first) [first, rest] = [move, end]
    }
    if (first === Infinity) return Buffer.concat([DIFF, path])
    return Buffer.concat([Buffer.from(`shadow/${first}`), path.subarray(rest)])
  }

  #damaged(path: Buffer, cause: string): LayerDamaged {
    return new LayerDamaged({ file: `${this.#directory}/${path.toString()}`, cause })
  }
}

const DIFF = Buffer.from("diff/")
const SLASH = 0x2f

/** Index of the last record that begins at or before a position of the tar; -1: none does. */
function lastAtOrBefore(records: readonly PlacedRecord[], position: number): number {
  let [low, high] = [-1, records.length]
  while (high - low > 1) {
    const middle = low + high >>> 1
    if (records[middle]!.tarStart <= position) low = middle
    else high = middle
  }
  return low
}

/** The entries that moved something away from each path, lowest first. */
function byPath(moves: readonly Move[]): ReadonlyMap<string, readonly number[]> {
  const all = new Map<string, number[]>()
  for (const { entry, path } of moves.toSorted((a, b) => a.entry - b.entry)) {
    const key = path.toString("latin1")
    const list = all.get(key)
    if (list === undefined) all.set(key, [entry])
    else list.push(entry)
  }
  return all
}

/** What a failed call says of the layer; other failures (descriptors, memory) say nothing of it. */
const TELLING = new Map([
  ["ENOENT", "it is missing"],
  ["ENOTDIR", "it is missing"],
  ["ELOOP", "a symbolic link is in its place"],
  ["EXDEV", "it leads out of the layer"],
  ["EISDIR", "a directory is in its place"],
  ["EINVAL", "it is no regular file"],
  ["ENXIO", "it is no regular file"],
  ["ESPIPE", "it is no regular file"],
  ["EAGAIN", "it is no regular file"],
  ["EIO", "the disk cannot read it"],
  ["EUCLEAN", "the file system is damaged there"],
  ["EBADMSG", "the file system is damaged there"],
])

function located(error: unknown, directory: string, file: string): unknown {
  if (error instanceof LayerDamaged) {
    return error.file === "index"
      ? new LayerDamaged({ file: `${directory}/index`, cause: error.cause })
      : error
  }
  const cause = error instanceof Errno ? TELLING.get(error.code) : undefined
  return cause === undefined ? error : new LayerDamaged({ file: `${directory}/${file}`, cause })
}
