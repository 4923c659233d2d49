import type { Bytes, Time } from "../kernel/files.ts"
import { shown } from "../kernel/files.ts"

/** A tar that is no tar. */
export class TarError extends Error {}

export const BLOCK = 512

/** What an entry is, in POSIX's words. */
export type EntryType = "file" | "directory" | "symlink" | "link" | "character" | "block" | "fifo"

/** One stretch of a sparse file's data. */
export interface Stretch {
  readonly offset: number
  readonly length: number
}

/** An entry, with all that long names, PAX records and sparse maps said about it. */
export interface TarEntry {
  readonly type: EntryType
  /** As in the archive: may be absolute, have `..`, end in slashes. */
  readonly path: Bytes
  readonly link: Bytes
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtime: Time
  /** Length of the file once written, holes included. */
  readonly size: number
  readonly major: number
  readonly minor: number
  readonly xattrs: readonly (readonly [name: Bytes, value: Bytes])[]
}

/** The fields of one header block (POSIX pax, "ustar Interchange Format"; GNU's in tar(5)). */
export interface Header {
  readonly type: string
  readonly name: Bytes
  readonly link: Bytes
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtime: number
  readonly major: number
  readonly minor: number
}

/** A NUL-terminated field. */
const text = (block: Buffer, at: number, length: number): Bytes => {
  const end = block.indexOf(0, at)
  return block.toString("latin1", at, end < 0 || end > at + length ? at + length : end)
}

/** An octal number, or base 256 where the first bit is set (GNU; two's complement). */
export const number = (block: Buffer, at: number, length: number, what: string): number => {
  const first = block[at]!
  if (first >= 0x80) {
    let value = (first & 0x40) === 0 ? first & 0x7f : (first & 0x7f) - 0x80
    for (let n = 1; n < length; n++) value = value * 256 + block[at + n]!
    if (!Number.isSafeInteger(value)) throw new TarError(`a ${what} that is too large`)
    return value
  }
  let value = 0
  let n = 0
  while (n < length && (block[at + n] === 0x20 || block[at + n] === 0)) n++
  for (; n < length; n++) {
    const digit = block[at + n]! - 0x30
    if (digit < 0 || digit > 7) {
      if (block[at + n] === 0 || block[at + n] === 0x20) break
      throw new TarError(`a ${what} that is no number`)
    }
    value = value * 8 + digit
  }
  if (!Number.isSafeInteger(value)) throw new TarError(`a ${what} that is too large`)
  return value
}

/** Is the block all zeros? Two of them end a tar. */
export const isZero = (block: Buffer): boolean => {
  for (let n = 0; n < BLOCK; n++) if (block[n] !== 0) return false
  return true
}

/**
 * The sum of all bytes, the checksum's own counted as spaces; some old tars summed signed bytes.
 */
const checkSum = (block: Buffer): void => {
  const expected = number(block, 148, 8, "checksum")
  let [unsigned, high] = [8 * 0x20, 0]
  for (let n = 0; n < BLOCK; n++) {
    if (n === 148) n = 156
    const byte = block[n]!
    unsigned += byte
    if (byte >= 0x80) high++
  }
  if (expected !== unsigned && expected !== unsigned - 256 * high) {
    throw new TarError("a header whose checksum is wrong")
  }
}

/** Reads one header block, whose checksum must be right. */
export const parseHeader = (block: Buffer): Header => {
  checkSum(block)
  const posix = block.toString("latin1", 257, 263) === "ustar\0"
  const star = posix && block.toString("latin1", 508, 512) === "tar\0"
  const prefix = posix ? text(block, 345, star ? 131 : 155) : ""
  const name = text(block, 0, 100)
  const type = block[156] === 0 ? "0" : block.toString("latin1", 156, 157)
  const device = type === "3" || type === "4"
  return {
    type,
    name: prefix === "" ? name : `${prefix}/${name}`,
    link: text(block, 157, 100),
    mode: number(block, 100, 8, "mode"),
    uid: number(block, 108, 8, "uid"),
    gid: number(block, 116, 8, "gid"),
    size: number(block, 124, 12, "size"),
    mtime: number(block, 136, 12, "mtime"),
    major: device ? number(block, 329, 8, "major") : 0,
    minor: device ? number(block, 337, 8, "minor") : 0,
  }
}

/** PAX records: later ones win, an empty value takes one back. */
export type Pax = Readonly<Record<string, Bytes>>

const XATTR = "SCHILY.xattr."
/**
 * Where the offsets and lengths of GNU sparse format 0.0 gather (its keys repeat), as 0.1's map.
 */
const SPARSE_MAP = "GNU.sparse.map"

/**
 * Reads the body of a PAX header, `length key=value\n` each (POSIX pax, "pax Extended Header"),
 * into a copy of `before`.
 */
export const parsePax = (body: Buffer, before: Pax): Pax => {
  const records = new Map(Object.entries(before))
  const oldMap: Bytes[] = []
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(0x20, at)
    const digits = space < 0 || space - at > 10 ? "" : body.toString("latin1", at, space)
    const end = /^\d+$/.test(digits) ? at + Number(digits) : 0
    if (end > body.length || end <= space || body[end - 1] !== 0x0a) {
      throw new TarError("a PAX record whose length is wrong")
    }
    const equals = body.indexOf(0x3d, space)
    if (equals < 0 || equals >= end || equals === space + 1) {
      throw new TarError("a PAX record without a key")
    }
    const key = body.toString("latin1", space + 1, equals)
    const value = body.toString("latin1", equals + 1, end - 1)
    if (key.includes("\0") || value.includes("\0") && !key.startsWith(XATTR)) {
      throw new TarError(`a PAX ${shown(key)} with a NUL in it`)
    }
    if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") oldMap.push(value)
    else if (value === "" && !key.startsWith(XATTR)) records.delete(key)
    else records.set(key, value)
    at = end
  }
  if (oldMap.length > 0) records.set(SPARSE_MAP, oldMap.join(","))
  return Object.fromEntries(records)
}

/** A decimal number of a PAX record. */
export const decimal = (value: Bytes, what: string): number => {
  const parsed = /^\d{1,16}$/.test(value) ? Number(value) : NaN
  if (!Number.isSafeInteger(parsed)) throw new TarError(`a PAX ${what} that is no number`)
  return parsed
}

/** Seconds with a fraction, possibly before 1970. */
export const paxTime = (value: Bytes): Time => {
  const match = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(value)
  if (match === null) throw new TarError("a PAX mtime that is no time")
  const nanoseconds = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"))
  const seconds = Number(match[2])
  if (match[1] === "") return { seconds, nanoseconds }
  return nanoseconds === 0
    ? { seconds: 0 - seconds, nanoseconds }
    : { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds }
}

const TYPES: Readonly<Record<string, EntryType>> = {
  "0": "file", "7": "file", S: "file", "1": "link", "2": "symlink",
  "3": "character", "4": "block", "5": "directory", "6": "fifo",
}

/** What comes before an entry and speaks of it. */
export interface Prelude {
  readonly longName: Bytes | null
  readonly longLink: Bytes | null
  readonly pax: Pax
}

/**
 * Puts an entry together. GNU long names win over PAX, PAX over the header, as in Go and GNU tar.
 */
export const entryOf = (header: Header, { longName, longLink, pax }: Prelude): TarEntry => {
  const path = longName ?? pax["GNU.sparse.name"] ?? pax["path"] ?? header.name
  const type = Object.hasOwn(TYPES, header.type) ? TYPES[header.type] : undefined
  if (type === undefined) {
    throw new TarError(`an entry of unknown type '${shown(header.type)}' (${shown(path)})`)
  }
  const number = (key: string, otherwise: number): number =>
    pax[key] === undefined ? otherwise : decimal(pax[key], key)
  const [uid, gid] = [number("uid", header.uid), number("gid", header.gid)]
  // -1 would mean "leave it" to chown(2).
  if ([uid, gid].some((id) => id < 0 || id > 0xfffffffe)) {
    throw new TarError("an owner that cannot be")
  }
  return {
    type: type === "file" && path.endsWith("/") ? "directory" : type,
    path, uid, gid,
    link: longLink ?? pax["linkpath"] ?? header.link,
    mode: header.mode & 0o7777,
    mtime: pax["mtime"] === undefined
      ? { seconds: header.mtime, nanoseconds: 0 } : paxTime(pax["mtime"]),
    size: type === "file" ? number("size", header.size) : 0,
    major: header.major,
    minor: header.minor,
    xattrs: Object.keys(pax).filter((key) => key.startsWith(XATTR))
      .map((key) => [key.slice(XATTR.length), pax[key]!]),
  }
}

/**
 * Checks a sparse map: stretches in order, apart, within the file, as long together as is stored.
 */
export const checkedMap = (
  stretches: readonly Stretch[], size: number, stored: number,
): readonly Stretch[] => {
  let [end, sum] = [0, 0]
  for (const { offset, length } of stretches) {
    if (offset < end || length < 0 || offset + length > size) {
      throw new TarError("a sparse map that makes no sense")
    }
    end = offset + length
    sum += length
  }
  if (sum !== stored) throw new TarError("a sparse map of another length than its data")
  return stretches
}

/** `offset,length,offset,length…`, as sparse format 0.1 has it. */
export const parseMap = (map: Bytes): readonly Stretch[] => {
  const numbers = map.split(",").map((value) => decimal(value, SPARSE_MAP))
  if (numbers.length % 2 !== 0) throw new TarError("a sparse map that makes no sense")
  return Array.from({ length: numbers.length / 2 }, (_, n) =>
    ({ offset: numbers[2 * n]!, length: numbers[2 * n + 1]! }))
}

/** Of the old GNU format: offset and length, twelve bytes each, up to the first that is empty. */
export const parseStretches = (block: Buffer, at: number, count: number): readonly Stretch[] => {
  const found: Stretch[] = []
  for (let n = 0; n < count; n++) {
    const from = at + 24 * n
    if (block[from + 12] === 0) break
    found.push({
      offset: number(block, from, 12, "sparse map"),
      length: number(block, from + 12, 12, "sparse map"),
    })
  }
  return found
}
