import { GROUP_BYTES } from "./format.ts"

/*
 * A group is an entry's header block with the blocks before it that speak of it (PAX records, GNU
 * long names). What is no group is no mistake: those bytes travel in another way.
 */

export const BLOCK = 512
export const padded = (bytes: number): number => Math.ceil(bytes / BLOCK) * BLOCK

/** Offset and length of a header block's fields (POSIX pax, "ustar Interchange Format"). */
const FIELD = {
  name: [0, 100], mode: [100, 8], uid: [108, 8], gid: [116, 8], size: [124, 12], mtime: [136, 12],
  sum: [148, 8], type: [156, 1], link: [157, 100], magic: [257, 8], user: [265, 32],
  group: [297, 32], major: [329, 8], minor: [337, 8], prefix: [345, 155], rest: [500, 12],
} as const satisfies Readonly<Record<string, readonly [number, number]>>
type Field = keyof typeof FIELD

/** Fields that are replaced as they are, in the order of their bits; those left are reckoned. */
export const OTHERS = [
  "mode", "uid", "gid", "type", "magic", "user", "group", "major", "minor", "rest",
] as const satisfies readonly Field[]

const part = (block: Buffer, field: Field): Buffer => {
  const [at, length] = FIELD[field]
  return block.subarray(at, at + length)
}

/** A NUL-terminated field; every byte a character. */
const text = (block: Buffer, field: Field): string => {
  const bytes = part(block, field)
  const end = bytes.indexOf(0)
  return bytes.toString("latin1", 0, end < 0 ? bytes.length : end)
}

const octal = (block: Buffer, field: Field): number | null => {
  const digits = text(block, field)
  return /^[0-7]+ ?$/.test(digits) ? Number.parseInt(digits, 8) : null
}

const putText = (block: Buffer, field: Field, value: string): void => {
  const bytes = part(block, field)
  bytes.fill(0)
  bytes.write(value, "latin1")
}

/** False: it does not fit. */
const putOctal = (block: Buffer, field: Field, value: number): boolean => {
  const bytes = part(block, field)
  const digits = value.toString(8).padStart(bytes.length - 1, "0")
  if (value < 0 || digits.length >= bytes.length) return false
  bytes.write(`${digits}\0`, "latin1")
  return true
}

const sumOf = (block: Buffer): number => {
  let sum = 8 * 0x20
  for (let at = 0; at < BLOCK; at++) sum += block[at]!
  for (let at = 148; at < 156; at++) sum -= block[at]!
  return sum
}

const putSum = (block: Buffer): void => {
  part(block, "sum").write(`${sumOf(block).toString(8).padStart(6, "0")}\0 `, "latin1")
}

/** PAX records in their order; null: not as they should be. */
const recordsOf = (body: Buffer): readonly (readonly [key: string, value: string])[] | null => {
  const records: [string, string][] = []
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(0x20, at)
    const length = space < 0 ? "" : body.toString("latin1", at, space)
    const end = /^[1-9]\d{0,5}$/.test(length) ? at + Number(length) : 0
    const equals = body.indexOf(0x3d, space)
    if (end <= space || end > body.length || body[end - 1] !== 0x0a) return null
    if (equals < 0 || equals >= end) return null
    records.push([
      body.toString("latin1", space + 1, equals), body.toString("latin1", equals + 1, end - 1)])
    at = end
  }
  return records
}

/** `length key=value\n`, whose length counts its own digits. */
const recordOf = (key: string, value: string): string => {
  const rest = key.length + value.length + 3
  let length = rest + String(rest).length
  length = rest + String(length).length
  return `${length} ${key}=${value}\n`
}

/** What an entry's headers say. */
export interface Group {
  readonly bytes: Buffer
  /** PAX records but path and linkpath. */
  readonly records: readonly (readonly [key: string, value: string])[]
  readonly path: string
  readonly link: string
  /** Of the header block; null: not an octal number. */
  readonly mtime: number | null
  readonly size: number | null
  readonly type: string
  /** Bytes of content behind the headers. */
  readonly content: number
}

/** The header block itself. */
const mainOf = (bytes: Buffer): Buffer => bytes.subarray(bytes.length - BLOCK)

const isHeader = (block: Buffer): boolean =>
  block.length === BLOCK && octal(block, "sum") === sumOf(block)

/** Types that have no content whatever their size says. */
export const EMPTY_TYPES = "123456"

interface Prelude {
  records: readonly (readonly [string, string])[]
  longName: string | null
  longLink: string | null
}

/** Takes in what a block before the header block says; false: it cannot be understood. */
const takeIn = (prelude: Prelude, type: string, body: Buffer): boolean => {
  const end = body.indexOf(0)
  if (type === "L") prelude.longName = body.toString("latin1", 0, end < 0 ? body.length : end)
  else if (type === "K") prelude.longLink = body.toString("latin1", 0, end < 0 ? body.length : end)
  else if (type === "x") {
    const records = recordsOf(body)
    if (records === null || prelude.records.length > 0) return false
    prelude.records = records
  }
  return true
}

/**
 * Reads the group at `position`; null: there is none. `read` gives bytes that are good until it is
 * called again; fewer than asked for at the end.
 */
export const readGroup = (
  read: (position: number, length: number) => Buffer, position: number,
): Group | null => {
  const prelude: Prelude = { records: [], longName: null, longLink: null }
  let length = 0
  for (;;) {
    const block = read(position + length, BLOCK)
    if (!isHeader(block)) return null
    const type = text(block, "type")
    length += BLOCK
    if (!/^[xgLK]$/.test(type)) break
    const size = octal(block, "size")
    if (size === null || length + padded(size) + BLOCK > GROUP_BYTES) return null
    const body = read(position + length, size)
    if (body.length < size || !takeIn(prelude, type, body)) return null
    length += padded(size)
  }
  return groupOf(Buffer.from(read(position, length)), prelude)
}

const groupOf = (bytes: Buffer, { records, longName, longLink }: Prelude): Group | null => {
  const main = mainOf(bytes)
  const [size, prefix, type] = [octal(main, "size"), text(main, "prefix"), text(main, "type")]
  const pax = (wanted: string): string | undefined =>
    records.findLast(([key]) => key === wanted)?.[1]
  const posix = main.toString("latin1", 257, 263) === "ustar\0"
  const name = posix && prefix !== "" ? `${prefix}/${text(main, "name")}` : text(main, "name")
  const told = pax("size")
  const content = told !== undefined && /^\d{1,15}$/.test(told) ? Number(told) : size
  if (content === null || type === "S") return null
  return {
    bytes, size, type,
    records: records.filter(([key]) => key !== "path" && key !== "linkpath"),
    path: longName ?? pax("path") ?? name,
    link: longLink ?? pax("linkpath") ?? text(main, "link"),
    mtime: octal(main, "mtime"),
    content: EMPTY_TYPES.includes(type) && type !== "" ? 0 : content,
  }
}

/** What is to be other than in a template. */
export interface Change {
  readonly path: string | null
  readonly link: string | null
  readonly mtime: number | null
  readonly size: number | null
  /** Bytes of whole fields, by their bit in `OTHERS`. */
  readonly others: ReadonlyMap<number, Buffer>
}

/** A group's bytes, made of a template's and a change; null: they cannot be made so. */
export const changed = (template: Group, change: Change): Buffer | null => {
  const moved = change.path !== null || change.link !== null
  const main = Buffer.from(mainOf(template.bytes))
  for (const [bit, bytes] of change.others) bytes.copy(part(main, OTHERS[bit]!))
  if (change.mtime !== null && !putOctal(main, "mtime", change.mtime)) return null
  if (change.size !== null && !putOctal(main, "size", change.size)) return null
  if (!moved) {
    putSum(main)
    return Buffer.concat([template.bytes.subarray(0, -BLOCK), main])
  }
  return named(template, main, change.path ?? template.path, change.link ?? template.link)
}

const ascii = (name: string): string => name.replace(/[\x80-\xff]/g, "")

/** A long name as prefix and name (archive/tar of Go, splitUSTARPath); null: it cannot be. */
const split = (path: string): readonly [prefix: string, name: string] | null => {
  const end = path.length > 156 ? 156 : path.endsWith("/") ? path.length - 1 : path.length
  const at = path.lastIndexOf("/", end - 1)
  const name = path.length - at - 1
  return at <= 0 || name > 100 || name === 0 || at > 155
    ? null : [path.slice(0, at), path.slice(at + 1)]
}

/**
 * Names as Go's archive/tar lays them out, as that makes most layers: in the header block if they
 * fit, else as prefix and name if nothing else needs PAX, else as PAX records.
 */
const named = (template: Group, main: Buffer, path: string, link: string): Buffer | null => {
  const records = template.records.map((record): readonly [string, string] => record)
  const foreign = (name: string, length: number): boolean =>
    name.length > length || ascii(name) !== name
  if (main.toString("latin1", 257, 263) !== "ustar\0") return null
  const needed: (readonly [string, string])[] = []
  if (foreign(link, 100)) needed.push(["linkpath", link])
  const parts = foreign(path, 100) ? ascii(path) === path ? split(path) : null : ["", path] as const
  const inBlock = parts !== null && (parts[0] === "" || needed.length + records.length === 0)
  if (!inBlock) needed.push(["path", path])
  putText(main, "prefix", inBlock ? parts[0] : "")
  putName(main, "name", inBlock ? parts[1] : ascii(path))
  putName(main, "link", ascii(link))
  putSum(main)
  return Buffer.concat([preludeOf([...records, ...needed], path), main])
}

/** A name cut to its field; one that would end in a slash only by the cut loses it (as in Go). */
const putName = (main: Buffer, field: "name" | "link", name: string): void => {
  const length = FIELD[field][1]
  const cut = name.slice(0, length)
  putText(main, field, name.length > length ? cut.replace(/\/+$/, "") : cut)
}

/** The PAX header that Go writes for these records. */
const preludeOf = (records: readonly (readonly [string, string])[], path: string): Buffer => {
  if (records.length === 0) return Buffer.alloc(0)
  const sorted = records.toSorted(([a], [b]) => a < b ? -1 : a > b ? 1 : 0)
  const body = Buffer.from(sorted.map(([key, value]) => recordOf(key, value)).join(""), "latin1")
  const head = Buffer.alloc(BLOCK)
  const slash = path.lastIndexOf("/") + 1
  const name = `${path.slice(0, slash)}PaxHeaders.0/${path.slice(slash)}`
  putText(head, "name", ascii(name).slice(0, 100).replace(/\/+$/, ""))
  for (const field of ["mode", "uid", "gid", "size", "mtime"] as const) putOctal(head, field, 0)
  putOctal(head, "size", body.length)
  putText(head, "type", "x")
  head.write("ustar\u000000", 257, "latin1")
  putSum(head)
  return Buffer.concat([head, body, Buffer.alloc(padded(body.length) - body.length)])
}

/** Which of a group's other fields differ from a template's: bytes by their bit. */
export const otherFields = (template: Group, group: Group): Map<number, Buffer> => {
  const [before, after] = [mainOf(template.bytes), mainOf(group.bytes)]
  return new Map(OTHERS.flatMap((field, bit) => {
    const bytes = part(after, field)
    return bytes.equals(part(before, field)) ? [] : [[bit, bytes] as const]
  }))
}

/** Bytes of the field of this bit. */
export const otherLength = (bit: number): number => FIELD[OTHERS[bit]!][1]
