/** Where bytes are put on: those from `start` to `end`, good only until the call returns. */
export type Sink = (bytes: Buffer, start: number, end: number) => void

/** Bytes that can be read anywhere: the tar of a layer (`LayerTar`), a file, several of them. */
export interface Base {
  readonly size: number
  /** Fills `buffer` from `position` on; answers how much it filled: less only at the end. */
  read(position: number, buffer: Buffer): number
}

/**
 * The base stream of an image: the tars of all its layers, bottom up, end to end. This is what the
 * positions in a delta mean.
 */
export function baseStream(parts: readonly Base[]): Base {
  const starts: number[] = []
  let size = 0
  for (const part of parts) {
    starts.push(size)
    size += part.size
  }
  const partAt = (position: number): number =>
    starts.findLastIndex((start, n) => start <= position && parts[n]!.size > 0)
  const read = (position: number, buffer: Buffer): number => {
    let done = 0
    while (done < buffer.length && position + done < size) {
      const at = position + done
      const [part, start] = [parts[partAt(at)]!, starts[partAt(at)]!]
      const length = Math.min(buffer.length - done, start + part.size - at)
      const got = part.read(at - start, buffer.subarray(done, done + length))
      done += got
      if (got < length) break
    }
    return done
  }
  return { size, read }
}

/** A delta that cannot be applied: it is not whole, or made against another base. */
export class DeltaError extends Error {
  /** What is to blame: the delta's own bytes, or a base that is not what it was made against. */
  readonly what: "delta" | "base"
  constructor(message: string, what: "delta" | "base" = "delta", options?: ErrorOptions) {
    super(message, options)
    this.what = what
  }
}
