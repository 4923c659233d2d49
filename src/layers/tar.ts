import type { Bytes } from "../kernel/files.ts"
import {
  BLOCK, checkedMap, decimal, entryOf, isZero, number, parseHeader, parseMap, parsePax,
  parseStretches, TarError,
} from "./tar-header.ts"
import type { Header, Pax, Stretch, TarEntry } from "./tar-header.ts"

export { TarError } from "./tar-header.ts"
export type { EntryType, TarEntry } from "./tar-header.ts"

/**
 * Who listens to a tar. Every byte of it is told exactly once, in order, as `raw` or as `content`.
 * An entry is `entry`, after all its raw headers; its `content`, if any; `end`, before its padding.
 * Bytes are good only until the call returns.
 */
export interface TarSink {
  raw(bytes: Buffer): void
  entry(entry: TarEntry): void
  /** Content from `start` to `end` of `bytes`, to stand at `offset` of the file. */
  content(bytes: Buffer, start: number, end: number, offset: number): void
  end(): void
}

/** Bodies of long names, PAX headers and sparse maps may not be larger. (Go's limit, too.) */
const META_MAX = 1 << 20

type Phase = "header" | "meta" | "extension" | "map" | "content" | "padding" | "end"

/** Where a reader stands, in the middle of anything; plain data. */
export interface TarState {
  phase: Phase
  /** How much of the tar was read. */
  position: number
  /**
   * What has been read of a header block, or of a long name's, PAX header's or sparse map's body.
   */
  partial: Bytes
  /** The last block was zeros. */
  zeros: boolean
  /** Type of the header whose body is being read, and the length of that body. */
  meta: string
  metaLength: number
  longName: Bytes | null
  longLink: Bytes | null
  pax: Pax
  global: Pax
  /** The entry's own header while its sparse map is being read. */
  header: Header | null
  entry: TarEntry | null
  /** Stretches of the entry's content that are not yet complete. */
  stretches: readonly Stretch[]
  /** How much of the first of them has been read. */
  done: number
  /** Content still stored behind a sparse map, for the map's own check. */
  stored: number
  padding: number
}

const start = (): TarState => ({
  phase: "header", position: 0, partial: "", zeros: false, meta: "", metaLength: 0,
  longName: null, longLink: null, pax: {}, global: {}, header: null, entry: null,
  stretches: [], done: 0, stored: 0, padding: 0,
})

/**
 * Reads a tar as it comes: ustar, old and new GNU (long names, sparse files, base-256 numbers) and
 * PAX. Its whole state can be taken at any byte and put into another reader. Throws `TarError`.
 */
export class TarReader {
  readonly #sink: TarSink
  readonly #s: TarState
  readonly #block = Buffer.alloc(BLOCK)
  /** Body of a long name, PAX header or sparse map; else the one block. */
  #body: Buffer = this.#block
  #filled = 0
  /** Lines of a sparse map read so far. */
  #lines = 0
  #index = 0
  /** First byte of the buffer being read that was not yet told. */
  #told = 0

  constructor(sink: TarSink, state?: TarState) {
    this.#sink = sink
    this.#s = state === undefined ? start() : { ...state }
    const { phase, metaLength, partial } = this.#s
    if (phase === "meta") this.#body = Buffer.alloc(metaLength)
    if (phase === "map") this.#body = Buffer.alloc(partial.length + BLOCK - partial.length % BLOCK)
    this.#filled = this.#body.write(partial, "latin1")
    const whole = partial.length - partial.length % BLOCK
    if (phase === "map") this.#lines = newlines(this.#body, 0, whole)
  }

  /** How much of the tar was read. */
  get position(): number {
    return this.#s.position
  }

  /** The state, to be given to another reader. */
  state(): TarState {
    return {
      ...this.#s,
      partial: this.#body.toString("latin1", 0, this.#filled),
      stretches: this.#s.stretches.slice(this.#index),
    }
  }

  write(bytes: Buffer, from = 0, to = bytes.length): void {
    const s = this.#s
    this.#told = from
    for (let at = from; at < to;) {
      switch (s.phase) {
        case "content": at = this.#content(bytes, at, to); break
        case "padding": at = this.#padding(at, to); break
        case "end": at = to; break
        case "header":
        case "meta":
        case "extension":
        case "map": at = this.#gather(bytes, at, to)
      }
    }
    this.#tell(bytes, to)
    s.position += to - from
  }

  /** Goes on as if `length` bytes of content had been read. */
  skip(length: number): void {
    const s = this.#s
    s.position += length
    for (let left = length; left > 0;) {
      const stretch = s.stretches[this.#index]
      if (s.phase !== "content" || stretch === undefined) {
        throw new TarError("content where there is none")
      }
      const skipped = Math.min(left, stretch.length - s.done)
      left -= skipped
      this.#advance(stretch, skipped)
    }
  }

  /**
   * The tar ends here; a tar that may not is an error. (Missing end blocks are forgiven, as in
   * Go.)
   */
  end(): void {
    const { phase, pax, longName, longLink } = this.#s
    const whole = phase === "end" || phase === "header" && this.#filled === 0 &&
      longName === null && longLink === null && Object.keys(pax).length === 0
    if (!whole) throw new TarError("an end in the middle of an entry")
  }

  /** Tells what is raw in `bytes` up to `at`. */
  #tell(bytes: Buffer, at: number): void {
    if (at > this.#told) this.#sink.raw(bytes.subarray(this.#told, at))
    this.#told = at
  }

  #content(bytes: Buffer, at: number, to: number): number {
    const s = this.#s
    const stretch = s.stretches[this.#index]!
    const end = Math.min(to, at + stretch.length - s.done)
    this.#sink.content(bytes, at, end, stretch.offset + s.done)
    this.#told = end
    this.#advance(stretch, end - at)
    return end
  }

  #advance(stretch: Stretch, length: number): void {
    const s = this.#s
    s.done += length
    if (s.done < stretch.length) return
    s.done = 0
    if (++this.#index === s.stretches.length) this.#endEntry()
  }

  #endEntry(): void {
    const s = this.#s
    s.stretches = []
    this.#index = 0
    s.entry = null
    s.phase = s.padding > 0 ? "padding" : "header"
    this.#sink.end()
  }

  #padding(at: number, to: number): number {
    const s = this.#s
    const skipped = Math.min(s.padding, to - at)
    s.padding -= skipped
    if (s.padding === 0) s.phase = "header"
    return at + skipped
  }

  /** Fills the block or body being read; once full, takes it. */
  #gather(bytes: Buffer, at: number, to: number): number {
    const end = Math.min(to, at + this.#body.length - this.#filled)
    bytes.copy(this.#body, this.#filled, at, end)
    this.#filled += end - at
    if (this.#filled < this.#body.length) return end
    const phase = this.#s.phase
    if (phase === "map") this.#map(bytes, end)
    else {
      const body = this.#body
      this.#body = this.#block
      this.#filled = 0
      if (phase === "header") this.#header(bytes, end)
      else if (phase === "extension") this.#extension(bytes, end)
      else this.#meta(body)
    }
    return end
  }

  #header(bytes: Buffer, at: number): void {
    const s = this.#s
    const block = this.#block
    if (block[0] === 0 && isZero(block)) {
      if (s.zeros) s.phase = "end"
      s.zeros = true
      return
    }
    if (s.zeros) throw new TarError("something behind a block of zeros")
    const header = parseHeader(block)
    if (header.size < 0) throw new TarError("an entry of negative size")
    if ("LKxgX".includes(header.type)) this.#beginMeta(header)
    else this.#beginEntry(header, bytes, at)
  }

  #beginMeta({ type, size }: Header): void {
    const s = this.#s
    if (size > META_MAX) throw new TarError("a long name or PAX header of more than 1 MiB")
    s.meta = type
    s.metaLength = size
    s.padding = padded(size)
    s.phase = "meta"
    this.#body = Buffer.alloc(size)
    if (size === 0) {
      this.#body = this.#block
      this.#meta(Buffer.alloc(0))
    }
  }

  #meta(body: Buffer): void {
    const s = this.#s
    const end = body.indexOf(0)
    const name = end < 0 ? body.toString("latin1") : body.toString("latin1", 0, end)
    if (s.meta === "L") s.longName = name
    else if (s.meta === "K") s.longLink = name
    else if (s.meta === "g") s.global = parsePax(body, s.global)
    else s.pax = parsePax(body, s.pax)
    s.phase = s.padding > 0 ? "padding" : "header"
  }

  /**
   * An entry's own header was read: what follows is its sparse map, in one of four ways, or
   * content.
   */
  #beginEntry(header: Header, bytes: Buffer, at: number): void {
    const s = this.#s
    s.pax = { ...s.global, ...s.pax }
    s.header = header
    const size = s.pax["size"] === undefined ? header.size : decimal(s.pax["size"], "size")
    s.stored = "07S".includes(header.type) ? size : 0
    s.padding = padded(s.stored)
    const real = s.pax["GNU.sparse.realsize"] ?? s.pax["GNU.sparse.size"]
    const map = s.pax["GNU.sparse.map"]
    if (header.type === "S") this.#oldSparse(bytes, at)
    else if (s.pax["GNU.sparse.major"] === "1" && real !== undefined && s.stored > 0) {
      s.phase = "map"
      this.#body = Buffer.alloc(BLOCK)
      if (s.stored < BLOCK) throw new TarError("a sparse map that is not there")
    } else if (map !== undefined && real !== undefined) {
      this.#sparse(parseMap(map), decimal(real, "size"), bytes, at)
    } else this.#entry([{ offset: 0, length: s.stored }], null, bytes, at)
  }

  /** Sparse format 1.0: the map stands before the content, in decimal lines, padded to blocks. */
  #map(bytes: Buffer, at: number): void {
    const s = this.#s
    const body = this.#body
    this.#lines += newlines(body, this.#filled - BLOCK, this.#filled)
    const first = body.toString("latin1", 0, Math.max(0, body.indexOf("\n")))
    const count = this.#lines === 0 ? Infinity : decimal(first, "sparse map")
    if (this.#lines < 1 + 2 * count) {
      if (this.#filled + BLOCK > Math.min(META_MAX, s.stored)) {
        throw new TarError("a sparse map without an end")
      }
      this.#body = Buffer.concat([body, Buffer.alloc(BLOCK)])
      return
    }
    const lines = body.toString("latin1", 0, this.#filled).split("\n")
    const map = count === 0 ? [] : parseMap(lines.slice(1, 1 + 2 * count).join(","))
    s.stored -= this.#filled
    this.#body = this.#block
    this.#filled = this.#lines = 0
    const real = s.pax["GNU.sparse.realsize"] ?? s.pax["GNU.sparse.size"]!
    this.#sparse(map, decimal(real, "size"), bytes, at)
  }

  /** The old GNU format: four stretches in the header, more in blocks behind it. */
  #oldSparse(bytes: Buffer, at: number): void {
    this.#s.stretches = parseStretches(this.#block, 386, 4)
    this.#s.done = number(this.#block, 483, 12, "size")
    if (this.#block[482] !== 0) this.#s.phase = "extension"
    else this.#sparse(this.#s.stretches, this.#s.done, bytes, at)
  }

  #extension(bytes: Buffer, at: number): void {
    const s = this.#s
    s.stretches = [...s.stretches, ...parseStretches(this.#block, 0, 21)]
    if (s.stretches.length > META_MAX / 24) throw new TarError("a sparse map without an end")
    if (this.#block[504] === 0) this.#sparse(s.stretches, s.done, bytes, at)
  }

  #sparse(stretches: readonly Stretch[], size: number, bytes: Buffer, at: number): void {
    this.#entry(checkedMap(stretches, size, this.#s.stored), size, bytes, at)
  }

  #entry(stretches: readonly Stretch[], size: number | null, bytes: Buffer, at: number): void {
    const s = this.#s
    const entry = entryOf(s.header!, s)
    s.longName = s.longLink = s.header = null
    s.pax = {}
    s.done = 0
    s.stretches = stretches.filter(({ length }) => length > 0)
    s.entry = size === null ? entry : { ...entry, size }
    s.phase = "content"
    this.#tell(bytes, at)
    this.#sink.entry(s.entry)
    if (s.stretches.length === 0) this.#endEntry()
  }
}

const padded = (size: number): number => (BLOCK - size % BLOCK) % BLOCK

const newlines = (bytes: Buffer, start: number, end: number): number => {
  let count = 0
  for (let n = start; n < end; n++) if (bytes[n] === 0x0a) count++
  return count
}
