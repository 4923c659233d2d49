import { crc32 } from "node:zlib"
import { type Base, DeltaError } from "../base.ts"

/** A copy of bytes that are there. */
export const bytesOf = (
  base: Base, { position, length }: { readonly position: number, readonly length: number },
): Buffer => {
  const bytes = Buffer.allocUnsafeSlow(length)
  if (base.read(position, bytes) !== length) throw new Error(`delta: nothing at ${position}`)
  return bytes
}

/** A delta of frames that cannot be applied; `cause` says what was found, without the blame. */
export class FrameError extends DeltaError {
  constructor(what: "delta" | "base", cause: string) {
    const blame = what === "delta" ? "the delta is damaged" : "the delta's base is not what it was"
    super(`${blame}: ${cause}`, what, { cause })
  }
}

export const broken = (cause: string): FrameError => new FrameError("delta", cause)

/** Begins every delta. */
export const MAGIC = Buffer.from("BEDELT", "latin1")
export const VERSION = 1
/** Magic, u16 version, u64 bytes of the base. */
export const HEAD_BYTES = 16

/** A frame with its head is at most this long. */
export const FRAME_BYTES = 4 << 20
/** It makes at most this many bytes of tar. */
export const FRAME_TAR_BYTES = 32 << 20
/** Its columns unfold to at most this. */
export const COLUMN_BYTES = 4 << 20
/** Its pools unfold to at most this, together. */
export const POOL_BYTES = 8 << 20
/** Its dictionary, gathered from the base. */
export const DICTIONARY_BYTES = 12 << 20
/** Headers before an entry's own (PAX, long names), with it. */
export const GROUP_BYTES = 64 << 10

export const FRAME_HEAD_BYTES = 32

/** What stands at the front of a frame; all numbers little endian. */
export interface FrameHead {
  /** u32: bytes behind the head. */
  readonly length: number
  /** u64: where in the tar the frame's bytes go. */
  readonly tarStart: number
  /** u32: how many they are. */
  readonly tarBytes: number
  /** u32: their CRC-32. */
  readonly tarCrc: number
  /** u32: CRC-32 of all bytes of the base that are used, in the order of their use. */
  readonly baseCrc: number
  /** u32: 1 in the last frame, else 0. */
  readonly last: boolean
}

/** Head and body; u32 CRC-32 of all that follows it comes first. */
export const frameOf = (head: Omit<FrameHead, "length">, body: Buffer): Buffer => {
  const frame = Buffer.alloc(FRAME_HEAD_BYTES + body.length)
  frame.writeUInt32LE(body.length, 4)
  frame.writeUIntLE(head.tarStart, 8, 6)
  frame.writeUInt32LE(head.tarBytes, 16)
  frame.writeUInt32LE(head.tarCrc, 20)
  frame.writeUInt32LE(head.baseCrc, 24)
  frame.writeUInt32LE(head.last ? 1 : 0, 28)
  body.copy(frame, FRAME_HEAD_BYTES)
  frame.writeUInt32LE(crc32(frame.subarray(4)), 0)
  return frame
}

/** How long the frame is whose head this is. */
export const frameLength = (head: Buffer): number => {
  const length = FRAME_HEAD_BYTES + head.readUInt32LE(4)
  if (length > FRAME_BYTES) throw broken(`a frame of ${length} bytes`)
  return length
}

/** Checks a whole frame's bytes. */
export const headOf = (frame: Buffer): FrameHead => {
  if (crc32(frame.subarray(4)) !== frame.readUInt32LE(0)) {
    throw broken("a frame's checksum does not match")
  }
  const [tarBytes, flags] = [frame.readUInt32LE(16), frame.readUInt32LE(28)]
  if (tarBytes > FRAME_TAR_BYTES) throw broken(`a frame of ${tarBytes} bytes of tar`)
  if (flags > 1) throw broken(`a frame with flags ${flags}`)
  return {
    length: frame.readUInt32LE(4), tarStart: Number(frame.readBigUInt64LE(8)), tarBytes,
    tarCrc: frame.readUInt32LE(20), baseCrc: frame.readUInt32LE(24), last: flags === 1,
  }
}

/** What an item says in its first byte: an entry of a tar, all that differs from its template. */
export const ENTRY = { step: 2, path: 4, mtime: 8, size: 16, link: 32, other: 64, content: 128 }
/** … or a run of bytes: odd, and twice the number of its source. */
export const RUN = 1

/** Where bytes come from. */
export const SOURCES = ["zeros", "copy", "pool", "fresh", "add", "runs"] as const
/** `runs`: of an entry only; its content and padding are the runs behind it. */
export type Source = (typeof SOURCES)[number]

/** The columns, in the order in which they are stored. */
export const COLUMNS = [
  "items", "steps", "mtimes", "sizes", "edits", "text", "others", "sources", "lengths",
  "positions", "dictionary",
] as const
export type Column = (typeof COLUMNS)[number]

/** How a part of a frame is compressed. */
export const CODECS = ["stored", "zstd", "brotli"] as const
export type Codec = (typeof CODECS)[number]
