import { Readable } from "node:stream"
import { createGzip } from "node:zlib"

/** A gzip stream that is read as it is made. */
export interface Gzip {
  /** The next bytes, null behind the last. Rejects with what `pieces` threw. */
  readonly next: () => Promise<Uint8Array | null>
  /** No piece is asked for after this. */
  readonly close: () => void
}

/** One read of a caller takes this much at most. */
const OUT_BYTES = 64 * 1024

/**
 * gzip (RFC 1952) at zlib's own level, on another thread. Pieces are asked for as the output is:
 * neither gathers. The same pieces give the same bytes, as there is no name and no time in them.
 */
export const gzip = (pieces: Iterable<Uint8Array>): Gzip => {
  const source = Readable.from(pieces, { objectMode: true, highWaterMark: 1 })
  const packed = createGzip({ chunkSize: OUT_BYTES })
  source.on("error", (error) => packed.destroy(error)).pipe(packed)
  const output = packed[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  return {
    next: async () => {
      const { done, value } = await output.next()
      return done === true ? null : value
    },
    close: () => {
      source.destroy()
      packed.destroy()
    },
  }
}
