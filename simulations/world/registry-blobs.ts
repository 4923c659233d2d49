import { createReadStream } from "node:fs"
import type { ServerResponse } from "node:http"

/** A blob as the registry keeps it: in memory or in a file. */
export interface Blob {
  readonly size: number
  readonly bytes: Uint8Array | null
  readonly path: string | null
}

export const PIECE_BYTES = 64 * 1024

/** Hands a piece to the kernel; false if the client is gone. */
export const written = (response: ServerResponse, piece: Uint8Array): Promise<boolean> =>
  new Promise((resolve) => {
    if (response.destroyed) return resolve(false)
    const gone = () => resolve(false)
    response.once("close", gone)
    response.write(piece, (error) => {
      response.off("close", gone)
      resolve(error === null || error === undefined)
    })
  })

export async function* piecesOf(
  blob: Blob, start: number, size: number,
): AsyncIterable<Uint8Array> {
  if (blob.bytes !== null) yield blob.bytes.subarray(start, size)
  else if (start < size) {
    yield* createReadStream(blob.path!, { start, end: size - 1, highWaterMark: PIECE_BYTES })
  }
}
