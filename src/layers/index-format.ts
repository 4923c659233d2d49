/**
 * The tar index of a layer: every byte of its tar that is not file content, in order, and where
 * each file's content lies, so that the tar can be rebuilt bit for bit and read at any offset
 * without being stored. Little-endian, append-only while a layer is extracted, immutable
 * afterwards.
 *
 *     header  "BTIX" u16 version, u16 flags (0)
 *     frame*  "FRM1" u32 clen, u32 rawLen, u32 recLen, u64 tarStart, u64 tarEnd,
 *             u32 firstEntry, u32 nEntries, u32 crc32(the 40 bytes before, payload)
 *             payload (clen bytes) = zstd(raw ++ records)
 *     record  varint rawBefore, u8 kind, path, [content, continued: varint contentLength,
 *             varint fileOffset, u32 crc32 of each 1 MiB piece]
 *     path    varint bytes shared with the record before (0 for a frame's first), varint rest, rest
 *     footer  u32 n, {u64 tarStart, u64 fileOffset, u32 clen, u32 firstEntry}*n   one per frame
 *             u32 m, {u32 entry, varint length, path}*m                           moves to shadow/
 *             u64 tarSize, 32 bytes diffId, u32 nEntries
 *     trailer u64 footerOffset, u32 footerLength, u32 crc32(footer, the 12 bytes before), "XITB"
 *
 * **Order of calls.** The writer is told what the tar holds in the tar's own order. For each entry:
 * `raw(header blocks)`, with all GNU long names, PAX headers and bodies, sparse maps; then its
 * content, if it has any, goes to the file and past `Pieces`; then `record(...)`, *after* the
 * content and before `raw(padding)`. Bytes that belong to no entry (global PAX headers, end blocks,
 * garbage behind them) are raw too and want no record. `raw` may be cut anywhere, also across
 * frames.
 *
 * **Records.** A record says: here, after `rawBefore` raw bytes since the record before (or the
 * frame's start), stand `contentLength` bytes found in the file at `fileOffset`. Kinds: `none` is
 * an entry without content (directory, link, device, empty file); `content` an entry's first or
 * only segment; `continued` a further segment of the entry before it, which has no number of its
 * own; `whiteout`, `opaque` and `unmaterialised` are entries of which `diff/` holds nothing
 * readable: if such an entry has bytes behind its header they are raw. Entries are numbered from 0
 * in tar order, each record but `continued` being one.
 *
 * **Segments.** A sparse file has a record for each stretch of data (its holes are not in the tar),
 * in the tar's order; one without data is `none`. A checkpoint in the middle of a file ends the
 * segment: `record({kind, ...pieces.end()})`, `closeFrame`; what follows is a `continued` segment
 * with `fileOffset` where the last ended, whether or not a crash came between. CRCs count pieces of
 * 1 MiB from the *segment's* start, the last one of what is left, so no running CRC outlives a
 * checkpoint. Every record carries its path, so a frame can be read alone.
 *
 * **Paths** are bytes, relative to `diff/`, without leading or trailing slash or `.` parts (the
 * root itself is empty), and with symlinks in their parents *resolved*: the name under which the
 * kernel made the file, not the one in the archive. Content of entry e at path p is found under the
 * first move (k, q) with k > e and q being p or a parent of it, at `shadow/<k>` + the rest of p;
 * else at `diff/p`. An entry makes at most one move; k is its number: `nextEntry` before its
 * `record`.
 *
 * **Frames** close by themselves at 256 KiB of raw bytes (or of records) and on `closeFrame`, each
 * by one append. Their tar ranges are contiguous from 0. A checkpoint is `closeFrame`, fsync, and
 * the length it answered: to resume, truncate to that length, read `IndexReader.saved`, and give
 * its answer to `new IndexWriter`. All bytes of the file lie under some CRC or are fixed.
 */
export const VERSION = 1
/** Content is covered by one CRC-32 for each piece of this many bytes. */
export const PIECE = 1 << 20
export const FRAME_RAW_MAX = 256 << 10
/** Records that reach this close their frame. One alone may be larger: 4 bytes a MiB. */
export const FRAME_RECORDS_TARGET = 256 << 10
/** What a reader accepts. Room for a segment of 7 TiB. */
export const FRAME_RECORDS_MAX = 32 << 20
export const PATH_MAX = 65_535

export const HEADER_LENGTH = 8
export const FRAME_HEADER_LENGTH = 44
export const TRAILER_LENGTH = 20
export const FOOTER_FRAME_LENGTH = 24
/** tarSize, diffId and nEntries. */
export const FOOTER_END_LENGTH = 44

export const KINDS = [
  "none", "content", "continued", "whiteout", "opaque", "unmaterialised",
] as const
export type RecordKind = (typeof KINDS)[number]

/** One entry of the tar, or a further segment of one. */
export interface IndexRecord {
  readonly kind: RecordKind
  readonly path: Buffer
  /** `content` and `continued` only: bytes of content. */
  readonly contentLength?: number
  /** Where they begin in the file. */
  readonly fileOffset?: number
  /** Of each 1 MiB piece of them. */
  readonly crcs?: readonly number[]
}

/** Entry number `entry` replaced what was at `path`: the old object is at `shadow/<entry>`. */
export interface Move {
  readonly entry: number
  readonly path: Buffer
}

/** Where a frame lies in the index file, and what of the tar it covers from. */
export interface FrameRef {
  readonly tarStart: number
  readonly fileOffset: number
  /** Length of the compressed payload. */
  readonly clen: number
  readonly firstEntry: number
}

/** Where an unfinished index stands after its last closed frame: what a writer needs to go on. */
export interface Saved {
  readonly length: number
  readonly nextEntry: number
  readonly tarPosition: number
  readonly frames: readonly FrameRef[]
}

export interface Footer {
  readonly moves: readonly Move[]
  readonly tarSize: number
  /** 32 bytes. */
  readonly diffId: Buffer
}

/** A record as read back. */
export interface PlacedRecord {
  readonly kind: RecordKind
  /** The number of its entry; a `continued` one has that of the entry it continues. */
  readonly entry: number
  readonly path: Buffer
  /** Raw bytes of the frame before it: `frame.raw.subarray(0, rawEnd)` precede its content. */
  readonly rawEnd: number
  /** Where in the tar its content begins (or, without content, where it was recorded). */
  readonly tarStart: number
  readonly contentLength: number
  readonly fileOffset: number
  readonly crcs: readonly number[]
}

export interface Frame {
  readonly tarStart: number
  readonly tarEnd: number
  readonly firstEntry: number
  readonly nEntries: number
  readonly raw: Buffer
  readonly records: readonly PlacedRecord[]
}

/** Fills `buffer` from the file at `offset`; answers how many bytes there were. */
export type ReadAt = (buffer: Buffer, offset: number) => number
