import { Errno } from "../kernel/libc.ts"
import { tidy } from "../kernel/memory.ts"
import {
  closeFile, fileSize, openDirectory, openFile, readAt, readQuietly,
} from "../kernel/readers.ts"
import { crc32 } from "../kernel/zlib.ts"
import { LayerDamaged } from "./damage.ts"
import { IndexReader, PIECE } from "./index.ts"
import type { Frame, Move, PlacedRecord } from "./index.ts"
import { OpenFiles } from "./opened.ts"
import { Recent } from "./recent.ts"

/** Of a larger piece so much is kept, and read again once the piece has been checked. */
const BLOCK = 64 << 10
/** So many records at most are files asked for ahead: measured, more win nothing. */
const AHEAD = 16
/** Files that are read are one after another if no more records than this are between them. */
const NEAR = 4

/** New buffers beyond this are worth a collection: V8 counts them late, and lets 100 MB gather. */
const GARBAGE_BYTES = 4 << 20

/** Content in a buffer that is used again. */
interface Held {
  readonly buffer: Buffer
  readonly length: number
}

/** Most frames are decoded to less than this. */
const FRAME_BYTES = 384 << 10

interface DecodedFrame {
  readonly frame: Frame
  /** What it was decoded into. */
  readonly buffer: Buffer
}

/**
 * What readers of layers keep in memory, some 10 MiB for all that share it: decoded frames, open
 * files, the piece read last, and blocks of others. A delta of a program copies from all over it, a
 * few hundred bytes at a time: measured, four whole pieces read 26 times as much as these blocks.
 * Keys are positions in the stream that the layers make, end to end.
 */
export class LayerCache {
  readonly frames = new Recent<number, DecodedFrame>(16, ({ buffer }) => this.#plain.push(buffer))
  readonly files = new OpenFiles()
  readonly blocks = new Recent<number, Held>(64, ({ buffer }) => this.#spare.push(buffer))
  /** Pieces of more than a block that were found to be as they were extracted. */
  readonly checked = new Set<number>()
  /** The piece read last, and where in the tar it begins. */
  #piece: { readonly at: number; readonly buffer: Buffer } | null = null
  readonly #spare: Buffer[] = []
  readonly #plain: Buffer[] = []

  /** For a frame that is decoded to so many bytes. */
  frameBuffer(length: number): Buffer {
    const spare = this.#plain.pop()
    if (spare !== undefined && spare.length >= length) return spare
    return Buffer.allocUnsafeSlow(Math.max(length, FRAME_BYTES))
  }

  /** The piece that begins at `at`, if it is the one read last. */
  piece(at: number): Buffer | null {
    return this.#piece?.at === at ? this.#piece.buffer : null
  }

  /** Closes the files. */
  close(): void {
    this.files.close()
  }

  /** Has `load` fill the piece that begins at `at`, in the buffer of the one before. */
  readPiece(at: number, load: (into: Buffer) => void): Buffer {
    const buffer = this.#piece?.buffer ?? Buffer.allocUnsafeSlow(PIECE)
    this.#piece = null
    load(buffer)
    this.#piece = { at, buffer }
    return buffer
  }

  /** For a block. */
  buffer(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(BLOCK)
  }
}

/** A cache that several layers share, and where in its stream the one to be opened begins. */
export interface SharedCache {
  readonly cache: LayerCache
  readonly origin: number
}

/**
 * The tar that a layer was extracted from, bit for bit, out of the layer's `index`, `diff/` and
 * `shadow/`. Content is checked against its CRC-32 when it is first read, before any of it is given
 * out: what is not as it was extracted is `LayerDamaged`, naming the file. Reading leaves access
 * times and page cache alone.
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
  readonly #cache: LayerCache
  /** The record read last, and the last one whose file was asked for ahead. */
  #ahead: {
    readonly records: readonly PlacedRecord[]
    readonly last: number
    readonly asked: number
  } = { records: [], last: 0, asked: 0 }
  /** Where this layer begins in the stream that the cache is of; null: it is its own. */
  readonly #origin: number | null

  private constructor(
    directory: string,
    fds: readonly [number, number],
    index: IndexReader,
    shared: SharedCache | null,
  ) {
    this.#directory = directory
    this.#cache = shared?.cache ?? new LayerCache()
    this.#origin = shared?.origin ?? null
    this.#directoryFd = fds[0]
    this.#indexFd = fds[1]
    this.#index = index
    this.#moves = byPath(index.moves)
    this.size = index.tarSize
    this.diffId = `sha256:${index.diffId.toString("hex")}`
  }

  /** Opens `<data-root>/overlay2/<id>`; close it again. Throws `LayerDamaged` and `Errno`. */
  static open(directory: string, shared: SharedCache | null = null): LayerTar {
    const opened: number[] = []
    try {
      const directoryFd = openDirectory(directory)
      opened.push(directoryFd)
      const indexFd = openFile(`${directory}/index`)
      opened.push(indexFd)
      const index = IndexReader.open(
        (buffer, offset) => readAt(indexFd, buffer, offset), fileSize(indexFd))
      return new LayerTar(directory, [directoryFd, indexFd], index, shared)
    } catch (error) {
      opened.forEach(closeFile)
      throw located(error, directory, "index")
    }
  }

  close(): void {
    if (this.#origin === null) this.#cache.close()
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
      if (position === record.tarStart) this.#expectNext(records, before)
      return this.#readContent(record, position - record.tarStart, buffer)
    }
    let next = before + 1
    while (records[next]?.contentLength === 0) next++
    const start = (record?.rawEnd ?? 0) + position - contentEnd
    return frame.raw.copy(buffer, 0, start, records[next]?.rawEnd ?? frame.raw.length)
  }

  #frameAt(position: number): Frame {
    const number = this.#index.frameAt(position)
    const key = this.#key(this.#index.startOf(number))
    const held = this.#cache.frames.get(key)
    if (held !== undefined) return held.frame
    try {
      let buffer: Buffer = Buffer.alloc(0)
      const frame = this.#index.frame(number, (length) => {
        buffer = this.#cache.frameBuffer(length)
        return buffer
      })
      this.#cache.frames.set(key, { frame, buffer })
      return frame
    } catch (error) {
      throw located(error, this.#directory, "index")
    }
  }

  /** Of a place of this tar, in the cache. */
  #key(position: number): number {
    return (this.#origin ?? 0) + position
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
    const cache = this.#cache
    const start = this.#key(record.tarStart + number * PIECE)
    if (length > BLOCK) {
      const piece = cache.piece(start) ?? this.#firstRead(record, number, length)
      if (piece !== null) return piece.copy(buffer, 0, inPiece, length)
    }
    const from = inPiece - inPiece % BLOCK
    const block = cache.blocks.get(start + from) ?? cache.blocks.set(start + from,
      this.#block(record, number, from, Math.min(BLOCK, length - from)))
    return block.buffer.copy(buffer, 0, inPiece - from, block.length)
  }

  /** Reads a piece whole, unless it was checked before: then blocks of it are read. */
  #firstRead(record: PlacedRecord, number: number, length: number): Buffer | null {
    const start = this.#key(record.tarStart + number * PIECE)
    if (this.#cache.checked.has(start)) return null
    const piece = this.#cache.readPiece(start, (into) => {
      this.#load(record, number, into.subarray(0, length))
    })
    this.#cache.checked.add(start)
    return piece
  }

  /** A block of a piece: a whole piece is checked, one of a larger piece has been. */
  #block(record: PlacedRecord, number: number, from: number, length: number): Held {
    const buffer = this.#cache.buffer()
    const into = buffer.subarray(0, length)
    if (this.#cache.checked.has(this.#key(record.tarStart + number * PIECE))) {
      this.#fill(this.#placeOf(record), into, record.fileOffset + number * PIECE + from)
    } else this.#load(record, number, into)
    return { buffer, length }
  }

  /** Reads a piece from its file, whole, and checks it. */
  #load(record: PlacedRecord, number: number, into: Buffer): void {
    const path = this.#placeOf(record)
    const offset = record.fileOffset + number * PIECE
    this.#fill(path, into, offset)
    if (crc32(into) !== record.crcs[number]) {
      throw this.#damaged(path,
        `bytes ${offset} to ${offset + into.length} are not those that were extracted`)
    }
  }

  #fill(path: Buffer, into: Buffer, offset: number): void {
    try {
      const got = readQuietly(this.#open(path), into, offset)
      const missing = into.length - got
      if (missing > 0) throw this.#damaged(path, `it ends ${missing} bytes too early`)
    } catch (error) {
      throw located(error, this.#directory, path.toString())
    }
  }

  #open(path: Buffer): number {
    return this.#cache.files.open(this.#key(0), this.#directoryFd, path)
  }

  /**
   * Where the small files of a frame are read one after another, the next ones are asked for at
   * once. What is wrong with one of them is told when it is read.
   */
  #expectNext(records: readonly PlacedRecord[], at: number): void {
    const { last, asked } = this.#ahead
    const follows = this.#ahead.records === records && at > last && at - last <= NEAR
    if (!follows || asked - at > AHEAD / 2) {
      this.#ahead = { records, last: at, asked: follows ? asked : at }
      return
    }
    const end = Math.min(records.length, at + AHEAD)
    for (const record of records.slice(Math.max(asked, at) + 1, end)) {
      const { contentLength: length, fileOffset } = record
      if (length === 0 || length > BLOCK || fileOffset > 0) continue
      try {
        this.#cache.files.expect(this.#key(0), this.#directoryFd, this.#placeOf(record), length)
      } catch (error) {
        if (!(error instanceof Errno)) throw error
      }
    }
    this.#ahead = { records, last: at, asked: end - 1 }
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
