import { ZstdDecompressor, ZstdError } from "../kernel/unzstd.ts"
import type { Sink } from "../kernel/inflate.ts"
import { DecompressError, UnknownCompression } from "./decompressor.ts"
import type { Decompressor, DecompressState } from "./decompressor.ts"
import { Gunzip } from "./gzip.ts"

/** No compression: every byte is a boundary. */
class Plain implements Decompressor {
  readonly anchored = false
  readonly boundary = true
  readonly #sink: Sink
  constructor(sink: Sink) {
    this.#sink = sink
  }
  push(bytes: Buffer, from: number, to: number, stop: boolean): number {
    if (stop) return 0
    this.#sink(bytes, from, to)
    return to - from
  }
  end(): void {}
  state(): DecompressState {
    return { format: "plain" }
  }
  close(): void {}
}

/**
 * zstd. Its state cannot be taken out, so a resume fetches the current frame again from its start
 * and drops what came out before; between frames that is nothing.
 */
class Unzstd implements Decompressor {
  readonly anchored = true
  readonly boundary = true
  readonly #zstd: ZstdDecompressor
  readonly #out: Sink
  /** Output since the frame's start, and how much of it is to be dropped. */
  #produced = 0
  #drop: number

  constructor(outBytes: number, sink: Sink, state?: DecompressState) {
    this.#zstd = new ZstdDecompressor(outBytes)
    this.#drop = state?.skip ?? 0
    this.#out = (bytes, from, to) => {
      const dropped = Math.min(Math.max(0, this.#drop - this.#produced), to - from)
      this.#produced += to - from
      if (from + dropped < to) sink(bytes, from + dropped, to)
    }
  }

  get atAnchor(): boolean {
    return this.#zstd.atFrame
  }

  push(bytes: Buffer, from: number, to: number, stop: boolean): number {
    if (stop) return 0
    try {
      const used = this.#zstd.push(bytes, from, to, this.#out)
      if (this.#zstd.atFrame) {
        if (this.#produced < this.#drop) throw new DecompressError("zstd data that has changed")
        this.#produced = this.#drop = 0
      }
      return used
    } catch (error) {
      if (error instanceof ZstdError) throw new DecompressError(error.message)
      throw error
    }
  }

  end(): void {
    if (!this.#zstd.atFrame) throw new DecompressError("zstd data that ends too early")
  }

  state(): DecompressState {
    return { format: "zstd", skip: Math.max(this.#produced, this.#drop) }
  }

  close(): void {
    this.#zstd.close()
  }
}

/** How many bytes `formatOf` wants to see, where there are as many. */
export const MAGIC_LENGTH = 6

/** The format of a blob, by its first bytes: never by its media type, which is often wrong. */
export const formatOf = (head: Buffer): DecompressState["format"] => {
  const hex = head.toString("hex", 0, MAGIC_LENGTH)
  if (hex.startsWith("1f8b")) return "gzip"
  if (hex.startsWith("28b52ffd") || /^5.2a4d18/.test(hex)) return "zstd"
  if (hex.startsWith("fd377a585a00")) throw new UnknownCompression("xz")
  if (hex.startsWith("425a68")) throw new UnknownCompression("bzip2")
  return "plain"
}

/**
 * Makes a decompressor: fresh for a format, or going on from a state. `outBytes` is the size of its
 * one output buffer; `sink` is called with parts of it, which are good only until it returns.
 */
export const decompressor = (
  state: DecompressState, sink: Sink, outBytes: number,
): Decompressor => {
  if (state.format === "gzip") return new Gunzip(outBytes, sink, state)
  if (state.format === "zstd") return new Unzstd(outBytes, sink, state)
  return new Plain(sink)
}
