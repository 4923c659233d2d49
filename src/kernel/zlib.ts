import { constants, crc32 as nodeCrc32, zstdCompressSync } from "node:zlib"

/**
 * CRC-32 as gzip and Ethernet have it (RFC 1952 section 8), of `bytes` behind whatever gave
 * `before`. 3 GB/s: the check is never what a read waits for.
 */
export const crc32 = (bytes: Uint8Array, before = 0): number => nodeCrc32(bytes, before)

/** One zstd frame (RFC 8878) at level 3. */
export const zstd = (bytes: Uint8Array): Buffer =>
  zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 3 } })
