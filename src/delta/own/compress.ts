import { brotliCompress, constants, zstdCompress } from "node:zlib"
import type { ZstdOptions } from "node:zlib"
import { bodyOf, EMPTY, PARTS } from "./parts.ts"
import type { Packed, Part } from "./parts.ts"
import type { Written } from "./written.ts"

/** A frame's parts as a quick look found them. */
export interface Tried {
  readonly parts: Written
  readonly packed: Readonly<Record<Part, Packed>>
  /** Of the body, if nothing better were found. */
  readonly length: number
  /** Bytes to be compressed as well as can be; those of a dictionary take half as long. */
  readonly work: number
}

/** Compresses a frame's parts in haste: some hundred MiB a second, and nothing gets longer. */
export const tried = async (parts: Written): Promise<Tried> => {
  const packed = await each(async (name) => quick(parts[name], dictionaryOf(parts, name)))
  const work = PARTS.reduce((sum, name) => compresses(packed[name])
    ? sum + parts[name].length + (dictionaryOf(parts, name)?.length ?? 0) / 2 : sum, 0)
  return { parts, packed, length: bodyOf(packed).length, work }
}

/** A frame's body, never longer than the quick look found; `hard`: as short as can be. */
export const compressed = async (
  { parts, packed }: Tried, hard: boolean,
): Promise<Buffer> =>
  bodyOf(await each(async (name) => compresses(packed[name])
    ? shortest(packed[name], parts[name], dictionaryOf(parts, name), hard) : packed[name]))

const each = async (
  work: (name: Part) => Promise<Packed>,
): Promise<Readonly<Record<Part, Packed>>> => {
  const all = await Promise.all(PARTS.map(async (name) => [name, await work(name)] as const))
  return Object.fromEntries(all) as Record<Part, Packed>
}

/** Only the pool has one. */
const dictionaryOf = ({ dictionary }: Written, name: Part): Buffer | undefined =>
  name === "pool" && dictionary.length > 0 ? dictionary : undefined

/** What a quick look makes less than this part shorter is noise, and nothing makes it short. */
const NOISE = 1 / 32

const compresses = ({ bytes, length }: Packed): boolean => bytes.length < length * (1 - NOISE)

/** Does a quick look find bytes that are like a dictionary's, or like each other? */
export const isNoise = async (bytes: Buffer, dictionary: Buffer): Promise<boolean> =>
  !compresses(await quick(bytes, dictionary))

/** How long bytes get that are compressed in some haste, with what they are to be like. */
export const easily = async (bytes: Buffer, dictionary?: Buffer): Promise<number> =>
  (await zstd(bytes, dictionary, EASY)).bytes.length

const quick = async (bytes: Buffer, dictionary?: Buffer): Promise<Packed> => {
  if (bytes.length === 0) return EMPTY
  const stored: Packed = { codec: "stored", bytes, length: bytes.length }
  const found = await zstd(bytes, dictionary, QUICK)
  return found.bytes.length < bytes.length ? found : stored
}

/** Brotli at its best takes 2 s a MiB: no more than this is given to it. */
const BROTLI_BYTES = { hard: 2 << 20, easy: 128 << 10 }

/** The shortest way found to store these bytes. */
const shortest = async (
  best: Packed, bytes: Buffer, dictionary: Buffer | undefined, hard: boolean,
): Promise<Packed> => {
  const most = hard ? BROTLI_BYTES.hard : BROTLI_BYTES.easy
  const ways = await Promise.all([
    zstd(bytes, dictionary, hard ? HARD : EASY),
    ...bytes.length <= most && dictionary === undefined ? [brotli(bytes)] : []])
  return ways.reduce((one, way) => way.bytes.length < one.bytes.length ? way : one, best)
}

interface Level {
  readonly level: number
  /** Logarithms of the entries of its tables, given how far back can be referred to. */
  readonly tables: (window: number) => Readonly<Record<number, number>>
}

/** Room to find what stands far back in a dictionary; its own is for less than a MiB. */
const QUICK: Level = {
  level: 3,
  tables: (window) => ({
    [constants.ZSTD_c_hashLog]: Math.min(window, 22),
    [constants.ZSTD_c_chainLog]: Math.min(window, 22),
  }),
}
/** Some 20 MiB a second. */
const EASY: Level = { level: 9, tables: () => ({}) }
/** Some 1 MiB a second; a tree with room for all: the level's own forgets beyond 8 MiB. */
const HARD: Level = {
  level: 19,
  tables: (window) => window <= 24 ? {} : { [constants.ZSTD_c_chainLog]: window },
}

const zstd = (
  bytes: Buffer, dictionary: Buffer | undefined, { level, tables }: Level,
): Promise<Packed> => {
  const reach = bytes.length + (dictionary?.length ?? 0)
  const window = Math.max(10, Math.ceil(Math.log2(reach)))
  const params = {
    [constants.ZSTD_c_compressionLevel]: level,
    [constants.ZSTD_c_windowLog]: window,
    ...tables(window),
  }
  const options: ZstdOptions = {
    params, pledgedSrcSize: bytes.length, ...dictionary === undefined ? {} : { dictionary },
  }
  return new Promise((resolve, reject) => {
    zstdCompress(bytes, options, (error, out) => {
      if (error === null) resolve({ codec: "zstd", bytes: out, length: bytes.length })
      else reject(error)
    })
  })
}

const brotli = (bytes: Buffer): Promise<Packed> => {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 11,
    [constants.BROTLI_PARAM_LGWIN]: Math.max(10, Math.ceil(Math.log2(bytes.length + 16))),
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  }
  return new Promise((resolve, reject) => {
    brotliCompress(bytes, { params }, (error, out) => {
      if (error === null) resolve({ codec: "brotli", bytes: out, length: bytes.length })
      else reject(error)
    })
  })
}
