import { createCipheriv, createHash } from "node:crypto"
import { Extraction } from "../../src/layers/extract.ts"
import type { ExtractionOptions } from "../../src/layers/extract.ts"

/** Tars made by hand, so that they may hold what no tar program would write. */

export interface Made {
  readonly path: string
  /** The type's letter in the header; a file if left out. */
  readonly type?: string
  readonly content?: Buffer | string
  readonly link?: string
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly mtime?: number
  readonly major?: number
  readonly minor?: number
  /** Another length than the content's. */
  readonly size?: number
  readonly pax?: Readonly<Record<string, string | Buffer>>
}

const octal = (value: number, length: number): string =>
  `${value.toString(8).padStart(length - 1, "0")}\0`

/** Puts a number in base 256 where it does not fit in octal, as GNU tar does. */
const numeric = (block: Buffer, value: number, at: number, length: number): void => {
  if (value >= 0 && value < 8 ** (length - 1)) block.write(octal(value, length), at, "latin1")
  else {
    const bytes = Buffer.alloc(length, value < 0 ? 0xff : 0)
    bytes.writeBigInt64BE(BigInt(value), length - 8)
    bytes[0] = value < 0 ? 0xff : 0x80
    bytes.copy(block, at)
  }
}

/** One header block; names are latin1. */
export function header(made: Made, magic = "ustar\x0000"): Buffer {
  const block = Buffer.alloc(512)
  const { path, type = "0", content = "", link = "", mode = 0o644, size } = made
  block.write(path, 0, 100, "latin1")
  numeric(block, mode, 100, 8)
  numeric(block, made.uid ?? 0, 108, 8)
  numeric(block, made.gid ?? 0, 116, 8)
  numeric(block, size ?? Buffer.byteLength(content), 124, 12)
  numeric(block, made.mtime ?? 1_000_000_000, 136, 12)
  block.write(type, 156, "latin1")
  block.write(link, 157, 100, "latin1")
  block.write(magic, 257, "latin1")
  numeric(block, made.major ?? 0, 329, 8)
  numeric(block, made.minor ?? 0, 337, 8)
  return summed(block)
}

/** Writes a header's checksum, whatever else it holds. */
export function summed(block: Buffer): Buffer {
  block.write("        ", 148)
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  return block
}

export const padded = (content: Buffer | string): Buffer => {
  const bytes = Buffer.from(content as string)
  return Buffer.concat([bytes, Buffer.alloc((512 - bytes.length % 512) % 512)])
}

const paxRecord = (key: string, value: string | Buffer): Buffer => {
  const rest = Buffer.concat([
    Buffer.from(` ${key}=`, "latin1"), Buffer.from(value as string), Buffer.from("\n"),
  ])
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length++
  return Buffer.concat([Buffer.from(String(length)), rest])
}

/** A PAX header with its body. Records may come as pairs, as keys may repeat. */
export function pax(
  records: Readonly<Record<string, string | Buffer>> | readonly (readonly [string, string])[],
  type = "x",
): Buffer {
  const body = Buffer.concat(
    (Array.isArray(records) ? records : Object.entries(records)).map(([k, v]) => paxRecord(k, v)))
  return Buffer.concat([header({ path: "pax", type, content: body }), padded(body)])
}

/** A GNU long name (`L`) or link target (`K`). */
export const long = (type: "L" | "K", name: string): Buffer =>
  entry({ path: "././@LongLink", type, content: `${name}\0` })

/** An entry with all that goes before and behind it. */
export const entry = (made: Made): Buffer => Buffer.concat([
  made.pax === undefined ? Buffer.alloc(0) : pax(made.pax),
  header(made),
  padded(made.content ?? ""),
])

/** A whole tar: entries (or bytes), and the two blocks of zeros. */
export const tarball = (...parts: readonly (Made | Buffer)[]): Buffer => Buffer.concat([
  ...parts.map((part) => Buffer.isBuffer(part) ? part : entry(part)), Buffer.alloc(1024),
])

/** Bytes that do not compress. */
export const noise = (length: number, seed = 1): Buffer =>
  createCipheriv("aes-128-ctr", Buffer.alloc(16, seed), Buffer.alloc(16))
    .update(Buffer.alloc(length))

export const digestOf = (bytes: Uint8Array): string =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`

/** Extracts a blob in one go. The tar's own digest is reckoned where none is given. */
export function extract(
  directory: string, blob: Buffer,
  options: Partial<ExtractionOptions> & { readonly tar?: Buffer; readonly step?: number } = {},
) {
  const { tar = blob, step = 50_000, ...rest } = options
  const extraction = new Extraction({
    directory, diffId: digestOf(tar), bottom: false, blob: null, checkpoint: null, ...rest,
  })
  try {
    for (let at = 0; at < blob.length; at += step) {
      extraction.write(blob, at, Math.min(at + step, blob.length))
    }
    return extraction.finish()
  } finally {
    extraction.close()
  }
}
