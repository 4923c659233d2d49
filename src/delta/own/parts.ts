import { brotliDecompressSync } from "node:zlib"
import { unzstd } from "../../kernel/unzstd.ts"
import { broken, CODECS, COLUMN_BYTES, COLUMNS, POOL_BYTES } from "./format.ts"
import type { Codec, Column } from "./format.ts"
import { Reader, Writer } from "./varint.ts"

/** The parts of a frame's body, in their order. */
export const PARTS = ["columns", "pool", "fresh", "add"] as const
export type Part = (typeof PARTS)[number]

/** A part as it is stored, and how long it is unfolded. */
export interface Packed {
  readonly codec: Codec
  readonly bytes: Buffer
  readonly length: number
}

export const EMPTY: Packed = { codec: "stored", bytes: Buffer.alloc(0), length: 0 }

/** Codec, length and stored length of each part, then the parts. */
export const bodyOf = (parts: Readonly<Record<Part, Packed>>): Buffer => {
  const writer = new Writer()
  for (const name of PARTS) {
    const { codec, bytes, length } = parts[name]
    writer.byte(CODECS.indexOf(codec))
    writer.number(length)
    writer.number(bytes.length)
  }
  return Buffer.concat([writer.finish(), ...PARTS.map((name) => parts[name].bytes)])
}

/** What `bodyOf` made; every length is checked. */
export const partsOf = (body: Buffer): Readonly<Record<Part, Packed>> => {
  const reader = new Reader(body)
  const heads = PARTS.map(() => {
    const codec = CODECS[reader.byte()]
    if (codec === undefined) throw broken("an unknown compression")
    return { codec, length: reader.number(), stored: reader.number() }
  })
  const [columns, ...pools] = heads.map(({ codec, length, stored }) =>
    ({ codec, length, bytes: reader.bytes(stored) }))
  const [pool, fresh, add] = pools
  if (reader.left > 0) throw broken("bytes behind its parts")
  if (columns!.length > COLUMN_BYTES) throw broken("too many columns")
  if (pools.reduce((sum, { length }) => sum + length, 0) > POOL_BYTES) throw broken("large pools")
  return { columns: columns!, pool: pool!, fresh: fresh!, add: add! }
}

/** Unfolds a part; no input makes it allocate more than `length` and a little. */
export const unpack = ({ codec, bytes, length }: Packed, dictionary?: Buffer): Buffer => {
  const plain = codec === "stored" ? bytes : decompress(codec, bytes, length, dictionary)
  if (plain.length !== length) throw broken("a part of another length")
  return plain
}

const decompress = (
  codec: "zstd" | "brotli", bytes: Buffer, length: number, dictionary?: Buffer,
): Buffer => {
  if (length === 0) throw broken("a part of nothing")
  if (codec === "brotli") return unbrotli(bytes, length)
  const plain = Buffer.allocUnsafeSlow(length)
  if (!unzstd(bytes, plain, dictionary)) throw broken("a part cannot be unfolded")
  return plain
}

const unbrotli = (bytes: Buffer, length: number): Buffer => {
  try {
    // Room for all at once.
    const chunkSize = Math.max(64, length)
    return brotliDecompressSync(bytes, { maxOutputLength: length, chunkSize })
  } catch (error) {
    throw broken(`a part cannot be unfolded (${(error as Error).message})`)
  }
}

/** The columns as one part: the length of each, then each. */
export const joined = (columns: Readonly<Record<Column, Writer>>): Buffer => {
  const lengths = new Writer()
  for (const name of COLUMNS) lengths.number(columns[name].length)
  return Buffer.concat([lengths.finish(), ...COLUMNS.map((name) => columns[name].finish())])
}

/** What `joined` made. */
export const columnsOf = (bytes: Buffer): Readonly<Record<Column, Reader>> => {
  const reader = new Reader(bytes)
  const lengths = COLUMNS.map(() => reader.number())
  const readers = COLUMNS.map((name, n) => [name, new Reader(reader.bytes(lengths[n]!))] as const)
  if (reader.left > 0) throw broken("bytes behind its columns")
  return Object.fromEntries(readers) as Record<Column, Reader>
}
