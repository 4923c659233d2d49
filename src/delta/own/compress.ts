import { brotliCompress, constants, zstdCompress } from "node:zlib"
import { bodyOf, EMPTY } from "./parts.ts"
import type { Packed } from "./parts.ts"
import type { Written } from "./written.ts"

/** A frame's body. */
export const compressed = async (parts: Written): Promise<Buffer> => {
  const [columns, pool, fresh, add] = await Promise.all([
    packed(parts.columns), packed(parts.pool, parts.dictionary),
    packed(parts.fresh), packed(parts.add),
  ])
  return bodyOf({ columns, pool, fresh, add })
}

/** Brotli at its best takes 2 s a MiB: no more than this is given to it. */
const BROTLI_BYTES = 2 << 20

/** The shortest way found to store these bytes. */
const packed = async (bytes: Buffer, dictionary?: Buffer): Promise<Packed> => {
  if (bytes.length === 0) return EMPTY
  const usesBrotli = bytes.length <= BROTLI_BYTES && (dictionary?.length ?? 0) === 0
  const ways = await Promise.all([
    zstd(bytes, dictionary), ...usesBrotli ? [brotli(bytes)] : []])
  const stored: Packed = { codec: "stored", bytes, length: bytes.length }
  return ways.reduce((best, way) => way.bytes.length < best.bytes.length ? way : best, stored)
}

const zstd = (bytes: Buffer, dictionary?: Buffer): Promise<Packed> => {
  const reach = bytes.length + (dictionary?.length ?? 0)
  const window = Math.max(10, Math.ceil(Math.log2(reach)))
  const params = {
    [constants.ZSTD_c_compressionLevel]: 19,
    [constants.ZSTD_c_windowLog]: window,
    // A tree with room for all that can be referred to: level 19 forgets beyond 8 MiB.
    ...window <= 24 ? {} : { [constants.ZSTD_c_chainLog]: window },
  }
  const options = dictionary === undefined || dictionary.length === 0
    ? { params, pledgedSrcSize: bytes.length }
    : { params, pledgedSrcSize: bytes.length, dictionary }
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
