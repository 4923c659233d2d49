import koffi from "koffi"
import { bind } from "./libc.ts"
import type { Sink } from "./inflate.ts"

/*
 * The zstd inside Node (zstd.h), because node:zlib's stream is asynchronous and hides frame ends.
 */
const createDCtx = bind("void *ZSTD_createDCtx()")
const freeDCtx = bind("size_t ZSTD_freeDCtx(void *d)")
const decompressUsingDict = bind("size_t ZSTD_decompress_usingDict(void *d, void *out, " +
  "size_t room, const void *in, size_t length, const void *dictionary, size_t dictionaryLength)")
const decompressStream = bind("size_t ZSTD_decompressStream(void *d, void *out, void *in)")
const isError = bind("unsigned int ZSTD_isError(size_t code)")
const getErrorName = bind("const char *ZSTD_getErrorName(size_t code)")
const versionString = bind("const char *ZSTD_versionString()")

export const zstdVersion: string = versionString()

const word = koffi.sizeof("size_t")

/** ZSTD_inBuffer and ZSTD_outBuffer: pointer, size, position, each a word. */
class Window {
  readonly c = Buffer.allocUnsafeSlow(64).fill(0)
  set(address: bigint, size: number): void {
    this.#put(0, address)
    this.#put(word, BigInt(size))
    this.#put(2 * word, 0n)
  }
  get position(): number {
    return word === 8 ? Number(this.c.readBigUInt64LE(16)) : this.c.readUInt32LE(8)
  }
  #put(at: number, value: bigint): void {
    if (word === 8) this.c.writeBigUInt64LE(value, at)
    else this.c.writeUInt32LE(Number(value), at)
  }
}

/** Bytes that zstd cannot have written, or that want a window beyond zstd's own limit (128 MiB). */
export class ZstdError extends Error {}

/** Decompresses zstd frames (RFC 8878), one after another. Must be closed. */
export class ZstdDecompressor {
  readonly #d = createDCtx()
  readonly #in = new Window()
  readonly #out = new Window()
  readonly #buffer: Buffer
  readonly #address: bigint
  /** Between two frames. */
  atFrame = true

  /** `outBytes`: size of the one buffer that `sink` is given parts of. */
  constructor(outBytes: number) {
    this.#buffer = Buffer.allocUnsafeSlow(outBytes)
    this.#address = koffi.address(this.#buffer)
  }

  /**
   * Decompresses up to the frame's end or the input's; answers how many bytes of input were used.
   */
  push(input: Buffer, start: number, end: number, sink: Sink): number {
    if (start === end) return 0
    this.#in.set(koffi.address(input) + BigInt(start), end - start)
    for (;;) {
      this.#out.set(this.#address, this.#buffer.length)
      const result = decompressStream(this.#d, this.#out.c, this.#in.c)
      if (isError(result)) throw new ZstdError(`it is not zstd data (${getErrorName(result)})`)
      const produced = this.#out.position
      const used = this.#in.position
      this.atFrame = Number(result) === 0
      if (produced > 0) sink(this.#buffer, 0, produced)
      if (this.atFrame || used === end - start && produced < this.#buffer.length) return used
    }
  }

  close(): void {
    freeDCtx(this.#d)
  }
}

let shared: unknown = null

/**
 * Fills `into` with the bytes of zstd frames, which must come to exactly that many; answers whether
 * they did. With the dictionary that they were made with; it is not copied, as node:zlib does, and
 * nothing is left to be collected.
 */
export const unzstd = (bytes: Buffer, into: Buffer, dictionary: Buffer | null = null): boolean => {
  shared ??= createDCtx()
  const made = decompressUsingDict(
    shared, into, into.length, bytes, bytes.length, dictionary, dictionary?.length ?? 0)
  return !isError(made) && Number(made) === into.length
}
