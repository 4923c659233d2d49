import { inflateVersion } from "../kernel/inflate.ts"
import { cryptoVersion } from "../kernel/digest.ts"
import { zstdVersion } from "../kernel/unzstd.ts"
import { crc32 } from "../kernel/zlib.ts"
import type { Bytes } from "../kernel/files.ts"
import type { DecompressState } from "./decompressor.ts"
import type { RecordKind } from "./index.ts"
import type { TarEntry, TarState } from "./tar.ts"

/** The format of this file's bytes and the meaning of what is in them. */
const VERSION = 1
const MAGIC = "BECP"
const FIXED = 16

/** The entry that is being read. */
export interface CurrentState {
  readonly entry: TarEntry
  /** What its record will say, and of which path. */
  readonly kind: RecordKind
  readonly path: Bytes
  /** Bytes of its file that are written; null: it has none. */
  readonly written: number | null
  /** A first segment of its content is in the index. */
  readonly recorded: boolean
}

/**
 * All that an extraction needs to go on where it stood, but what lies on the disk. Plain data; the
 * window of the inflater is kept apart as it is most of it.
 */
export interface Checkpoint {
  readonly diffId: string
  readonly bottom: boolean
  /** Digest of the blob; empty where it has none. */
  readonly blob: string
  /** Where in the blob to go on, and the state of its hash there. */
  readonly blobOffset: number
  readonly blobHash: Buffer
  readonly tarHash: Buffer
  /** Null before the first byte. */
  readonly decompress: DecompressState | null
  readonly tar: TarState
  readonly indexLength: number
  /** Entries begun: moves to `shadow/` by later ones are to be undone. */
  readonly entries: number
  readonly current: CurrentState | null
  readonly bytes: number
}

/** The libraries whose inner states a checkpoint holds. */
const LIBRARIES = [
  `zlib ${inflateVersion}`, `openssl ${cryptoVersion}`, `zstd ${zstdVersion}`, process.arch,
].join(", ")

/**
 * The bytes of a checkpoint, about 33 KiB for gzip:
 *
 *     "BECP" u16 version u16 0 u32 length of JSON, u32 crc32(all behind)
 *     JSON {libraries, …}, the inflater's window
 */
export const encode = (checkpoint: Checkpoint): Uint8Array => {
  const { decompress: whole, blobHash, tarHash, ...rest } = checkpoint
  const { inflate, ...decompress } = whole ?? {}
  const json = Buffer.from(JSON.stringify({
    libraries: LIBRARIES, ...rest, decompress: whole === null ? null : decompress,
    blobHash: blobHash.toString("base64"), tarHash: tarHash.toString("base64"),
    ...inflate === undefined ? {} : { bits: inflate.bits, prime: inflate.prime },
  }))
  const out = Buffer.concat([Buffer.alloc(FIXED), json, inflate?.window ?? Buffer.alloc(0)])
  out.write(MAGIC, "latin1")
  out.writeUInt16LE(VERSION, 4)
  out.writeUInt32LE(json.length, 8)
  out.writeUInt32LE(crc32(out.subarray(FIXED)), 12)
  return out
}

/**
 * Reads what `encode` wrote; null if that was another version of the format or of a library, or is
 * not whole: then the layer is begun again. What is whole was written by this very code.
 */
export const decode = (bytes: Uint8Array): Checkpoint | null => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (buffer.length < FIXED || buffer.toString("latin1", 0, 4) !== MAGIC) return null
  if (buffer.readUInt16LE(4) !== VERSION) return null
  if (crc32(buffer.subarray(FIXED)) !== buffer.readUInt32LE(12)) return null
  const end = FIXED + buffer.readUInt32LE(8)
  const { libraries, bits, prime, blobHash, tarHash, decompress, ...rest } =
    JSON.parse(buffer.toString("utf8", FIXED, end))
  if (libraries !== LIBRARIES) return null
  return {
    ...rest,
    blobHash: Buffer.from(blobHash, "base64"),
    tarHash: Buffer.from(tarHash, "base64"),
    decompress: bits === undefined
      ? decompress
      : { ...decompress, inflate: { bits, prime, window: Buffer.from(buffer.subarray(end)) } },
  }
}
