import { open, unlink } from "node:fs/promises"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { createGunzip, createZstdDecompress } from "node:zlib"
import { flushCalls } from "./flush.ts"

/** Bytes from outside that cannot be put down as they are. */
export class SpoolFault extends Error {
  readonly reason: "damaged" | "unsupported" | "noSpace"
  constructor(reason: SpoolFault["reason"], message: string) {
    super(message)
    this.name = "SpoolFault"
    this.reason = reason
  }
}

/** By their first bytes: RFC 1952, RFC 8878, and the formats that Docker takes and we do not. */
const PACKINGS = [
  { magic: "1f8b", unpack: () => createGunzip() },
  { magic: "28b52ffd", unpack: () => createZstdDecompress() },
  { magic: "425a68", unpack: () => refuse("bzip2") },
  { magic: "fd377a585a00", unpack: () => refuse("xz") },
]
const MAGIC_MAX = 6
/** Written back, and dropped from the page cache, in steps of this many bytes. */
const STEP = 4 << 20

const refuse = (packing: string): never => {
  throw new SpoolFault("unsupported",
    `the archive is compressed with ${packing}: use gzip or zstd, or none`)
}

/**
 * Puts a stream down in a new file, decompressed if all of it is gzip or zstd; answers the file's
 * length. A stream that would make the file longer than `bytesMax` is refused. If it does not come
 * to its end, or `signal` stops it, the file is gone again. Nothing is flushed: a spooled archive
 * does not outlive a crash. Holds some 100 KiB, and fills no page cache.
 */
export async function spool(
  source: AsyncIterable<Uint8Array>, path: string, bytesMax: number, signal: AbortSignal,
): Promise<number> {
  const file = await open(path, "wx", 0o600)
  let length = 0
  let stepped = 0
  const write = async (plain: AsyncIterable<Uint8Array>) => {
    for await (const bytes of plain) {
      if (length + bytes.length > bytesMax) {
        throw new SpoolFault("noSpace", `no room for an archive of more than ${bytesMax} bytes`)
      }
      for (let at = 0; at < bytes.length;) at += (await file.write(bytes, at)).bytesWritten
      length += bytes.length
      if (length - stepped < STEP) continue
      flushCalls.begin(file.fd, stepped, length - stepped)
      flushCalls.drop(file.fd, 0, stepped)
      stepped = length
    }
  }
  try {
    signal.throwIfAborted()
    const { packing, whole } = await recognise(source[Symbol.asyncIterator](), signal)
    const bytes = Readable.from(whole, { objectMode: false })
    if (packing === undefined) await pipeline(bytes, write, { signal })
    else await pipeline(bytes, packing.unpack(), write, { signal })
    flushCalls.begin(file.fd, stepped, 0)
    await file.close()
    return length
  } catch (error) {
    await file.close()
    await unlink(path)
    throw readable(error)
  }
}

/** Reads as much as tells how the stream is packed, and puts it in front again. */
async function recognise(pieces: AsyncIterator<Uint8Array>, signal: AbortSignal) {
  const head: Uint8Array[] = []
  for (let seen = 0; seen < MAGIC_MAX;) {
    const { done, value } = await nextOf(pieces, signal)
    if (done === true) break
    head.push(value)
    seen += value.length
  }
  const first = Buffer.concat(head).subarray(0, MAGIC_MAX).toString("hex")
  const whole = async function*() {
    try {
      yield* head
      for (;;) {
        const { done, value } = await nextOf(pieces, signal)
        if (done === true) return
        yield value
      }
    } finally {
      // Not awaited: a source that is stuck in its last piece would never answer.
      pieces.return?.().catch(() => {})
    }
  }
  return { packing: PACKINGS.find(({ magic }) => first.startsWith(magic)), whole: whole() }
}

/** The next piece; or a rejection as soon as `signal` says stop, however long the piece takes. */
const nextOf = (pieces: AsyncIterator<Uint8Array>, signal: AbortSignal) =>
  new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
    const stop = () => reject(signal.reason)
    signal.addEventListener("abort", stop, { once: true })
    pieces.next().then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", stop))
  })

/** What zlib says, in words. */
function readable(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code ?? ""
  if (code === "Z_BUF_ERROR") {
    return new SpoolFault("damaged", "the archive ends too early: unexpected EOF")
  }
  if (/^(Z_|ZSTD_|ERR__ERROR_)/.test(code)) {
    const { message } = error as Error
    return new SpoolFault("damaged", `the archive cannot be decompressed: ${message}`)
  }
  return error
}
