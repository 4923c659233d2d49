import type { Base } from "../delta/base.ts"
import { close, makeAt, openAt, openBeneath, readAt, truncate, writeAt } from "../kernel/files.ts"
import { LAYERS_MISMATCH } from "../oci/image-config.ts"
import { Sha256 } from "../kernel/digest.ts"
import { flushCalls, fsyncOrders } from "../kernel/flush.ts"
import type { FlushCalls } from "../kernel/flush.ts"
import { Errno } from "../kernel/libc.ts"
import { makeTree, removeAt } from "../kernel/tree.ts"
import { PullFault } from "./carrier.ts"
import type { Fetched } from "./carrier.ts"
import { decode, encode } from "./checkpoint.ts"
import type { Checkpoint } from "./checkpoint.ts"
import { decompressor, formatOf, MAGIC_LENGTH } from "./decompress.ts"
import type { Decompressor, DecompressState } from "./decompressor.ts"
import { Entries } from "./entries.ts"
import { damaged, faultOf } from "./faults.ts"
import { IndexReader, IndexWriter } from "./index.ts"
import { Patched } from "./patched.ts"
import { restore } from "./resume.ts"
import type { LayerFiles } from "./resume.ts"
import { TarError } from "./tar-header.ts"
import { TarReader } from "./tar.ts"
import { ensureSpace } from "./barrier.ts"

export interface ExtractionOptions {
  /** `<data-root>/overlay2/<id>`; made if missing. */
  readonly directory: string
  /** `sha256:…` of the uncompressed tar. */
  readonly diffId: string
  /** An image's lowest layer? Then whiteouts are recorded, not made. */
  readonly bottom: boolean
  /** Digest of what will be written to `write`, and its length; null: not known (archives). */
  readonly blob: { readonly digest: string; readonly size: number } | null
  /** What the blob is a delta against; null: the blob is the layer itself. */
  readonly base?: Base | null
  /** State of the last durable checkpoint; null: start over, whatever the directory holds. */
  readonly checkpoint: Uint8Array | null
  /** How bytes become durable; a test records it. */
  readonly calls?: FlushCalls
}

/**
 * Output of one step of decompression: larger is hardly faster, and every layer in flight has
 * one.
 */
const OUT_BYTES = 128 << 10
/** So much of the tar at once: a delta can make gigabytes of a few bytes. */
const MADE_BYTES = 8 << 20

/**
 * One layer on its way to the disk: compressed bytes in, `<directory>/{diff,shadow,index}` out,
 * both digests checked. Synchronous and driven by its input, so that one thread can carry
 * several.
 *
 * Ask the registry for bytes from `blobOffset` on and give them to `write`; at the end call
 * `finish`, after which all is durable. In between, for a checkpoint of all layers in flight:
 * call `stopAtBoundary` on each, go on writing until each is `stopped`, then call `barrier`
 * (barrier.ts), keep the states it answers, and write on. In the end, in any case, call `close`.
 *
 * Everything throws `PullFault`, after which only `close` may be called.
 */
export class Extraction {
  /** False if the checkpoint given could not be used: the layer begins at its first byte. */
  readonly resumed: boolean
  readonly directory: string
  readonly calls: FlushCalls
  /** Can a barrier be an fsync, or must it be a syncfs? */
  readonly fsyncOrders: boolean
  readonly #options: ExtractionOptions
  readonly #files: LayerFiles
  readonly #index: IndexWriter
  readonly #entries: Entries
  readonly #tar: TarReader
  readonly #tarHash: Sha256
  #blobHash: Sha256
  #decompressor: Decompressor | null = null
  /** First bytes of a blob whose format is not yet known. */
  #head: Buffer = Buffer.alloc(0)
  #blobOffset: number
  /** Where a resume would begin, and the blob's hash there. */
  #anchor: { readonly offset: number; readonly hash: Buffer }
  #saved = { blob: 0, tar: 0 }
  #stopping = false
  #settled = false
  #closed = false

  constructor(options: ExtractionOptions) {
    this.#options = options
    this.directory = options.directory
    this.calls = options.calls ?? flushCalls
    try {
      const begun = begin(options)
      const { files, checkpoint, saved, moves } = begun
      this.#files = files
      this.fsyncOrders = fsyncOrders(options.directory)
      this.resumed = checkpoint !== null
      let end = saved?.length ?? 0
      this.#index = new IndexWriter((bytes) => {
        writeAt(files.index, bytes, 0, bytes.length, end)
        end += bytes.length
      }, saved)
      this.#entries = new Entries({
        files, index: this.#index, bottom: options.bottom, calls: this.calls, moves,
        current: checkpoint?.current ?? null, bytes: checkpoint?.bytes ?? 0,
      })
      this.#tar = new TarReader(this.#entries, checkpoint?.tar)
      this.#tarHash = new Sha256(checkpoint?.tarHash)
      this.#blobHash = new Sha256(checkpoint?.blobHash)
      this.#blobOffset = checkpoint?.blobOffset ?? 0
      this.#anchor = { offset: this.#blobOffset, hash: this.#blobHash.state() }
      if (checkpoint?.decompress) this.#open(checkpoint.decompress)
      this.#saved = { blob: this.#blobOffset, tar: this.#tar.position }
    } catch (error) {
      throw faultOf(error, `the layer's directory ${options.directory}`)
    }
  }

  /** The next byte of the blob that `write` wants. */
  get blobOffset(): number {
    return this.#blobOffset + this.#head.length
  }

  /** How much would be done again if the power failed now. */
  get pending(): { readonly blobBytes: number; readonly outputBytes: number } {
    return {
      blobBytes: this.blobOffset - this.#saved.blob,
      outputBytes: this.#tar.position - this.#saved.tar,
    }
  }

  /**
   * Asked to stop, and standing where a checkpoint can be made: `write` takes nothing until it
   * is.
   */
  get stopped(): boolean {
    return this.#stopping && this.#atBoundary
  }

  /** Is there more to be made of what has been taken? Then `write`, with nothing if need be. */
  get owing(): boolean {
    return this.#decompressor?.owing === true
  }

  get #atBoundary(): boolean {
    return this.#decompressor === null ? this.#head.length === 0 : this.#decompressor.boundary
  }

  /**
   * From now on `write` stops where a checkpoint can be made; answers whether that is right here.
   */
  stopAtBoundary(): boolean {
    this.#stopping = true
    return this.stopped
  }

  /**
   * Takes bytes of the blob, from `from` to `to`; answers how many it used: all, unless it was
   * asked to stop and did, or has made so much of them that it comes up for air. `bytes` can be
   * used again at once.
   */
  write(bytes: Buffer, from = 0, to = bytes.length): number {
    try {
      let at = from
      this.#settled = false
      const airless = this.#tar.position + MADE_BYTES
      while ((at < to || this.owing) && !this.stopped && this.#tar.position < airless) {
        if (this.#decompressor === null) at = this.#sniff(bytes, at, to)
        else at += this.#push(this.#decompressor, bytes, at, to, this.#stopping)
      }
      return at - from
    } catch (error) {
      throw this.#faultOf(error, this.#entries.during)
    }
  }

  /**
   * The blob has ended: checks everything, sets the directories' mtimes, ends the index and makes
   * all durable.
   */
  finish(): Fetched {
    try {
      const decompressor = this.#decompressor ?? this.#recognise()
      decompressor.end()
      this.#tar.end()
      this.#verify()
      this.#entries.settle()
      this.#setDirectoryTimes()
      this.#index.finish({
        moves: this.#entries.moves
          .map(({ entry, path }) => ({ entry, path: Buffer.from(path, "latin1") })),
        tarSize: this.#tar.position,
        diffId: this.#tarHash.digest(),
      })
      ensureSpace(this.directory)
      this.commit()
      return {
        bytes: this.#entries.bytes,
        tarBytes: this.#tar.position,
        entries: this.#index.nextEntry,
      }
    } catch (error) {
      throw this.#faultOf(error, "the layer's end")
    }
  }

  /**
   * A barrier's first step: waits until all content is on the disk, appends what the index lacks.
   */
  settle(): void {
    if (!this.#atBoundary) throw new Error("extraction: a checkpoint in the middle of a block")
    this.#entries.settle()
    this.#index.closeFrame(this.#tar.position)
  }

  /** A barrier's second step: makes the index durable, and with it all names before it. */
  commit(): void {
    if (this.fsyncOrders) this.calls.fsync(this.#files.index)
    else this.calls.syncfs(this.#files.index)
    this.calls.drop(this.#files.index, 0, 0)
    this.#settled = true
  }

  /** A barrier's third step, and the only moment that has one: what a resume needs. */
  state(): Uint8Array {
    if (!this.#settled) throw new Error("extraction: a checkpoint that is not durable")
    this.#stopping = false
    this.#saved = { blob: this.blobOffset, tar: this.#tar.position }
    const now = { offset: this.#blobOffset, hash: this.#blobHash.state() }
    const anchor = this.#decompressor?.anchored === true ? this.#anchor : now
    return encode({
      diffId: this.#options.diffId, bottom: this.#options.bottom,
      blob: this.#options.blob?.digest ?? "",
      blobOffset: anchor.offset, blobHash: anchor.hash, tarHash: this.#tarHash.state(),
      decompress: this.#decompressor?.state() ?? null,
      tar: this.#tar.state(),
      indexLength: this.#index.length,
      entries: this.#entries.begun, current: this.#entries.current, bytes: this.#entries.bytes,
    })
  }

  /** Closes all files and frees all memory. Idempotent; what was not finished can be resumed. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#decompressor?.close()
    this.#entries.close()
    close(this.#files.index)
    close(this.#files.layer)
  }

  #sniff(bytes: Buffer, at: number, to: number): number {
    const end = Math.min(to, at + MAGIC_LENGTH - this.#head.length)
    this.#head = Buffer.concat([this.#head, bytes.subarray(at, end)])
    if (this.#head.length === MAGIC_LENGTH) this.#recognise()
    return end
  }

  #recognise(): Decompressor {
    const head = this.#head
    const decompressor = this.#open({ format: formatOf(head) })
    this.#head = Buffer.alloc(0)
    for (let at = 0; at < head.length;) at += this.#push(decompressor, head, at, head.length, false)
    return decompressor
  }

  #open(state: DecompressState): Decompressor {
    const sink = (out: Buffer, from: number, to: number): void => {
      this.#tarHash.update(out, from, to)
      this.#tar.write(out, from, to)
    }
    const { base = null } = this.#options
    const made = base === null
      ? decompressor(state, sink, OUT_BYTES)
      : new Patched(base, state, sink, OUT_BYTES)
    this.#decompressor = made
    return made
  }

  #push(decompressor: Decompressor, bytes: Buffer, at: number, to: number, stop: boolean): number {
    const used = decompressor.push(bytes, at, to, stop)
    this.#blobHash.update(bytes, at, at + used)
    this.#blobOffset += used
    if (decompressor.atAnchor === true) {
      this.#anchor = { offset: this.#blobOffset, hash: this.#blobHash.state() }
    }
    return used
  }

  #verify(): void {
    const { blob, diffId } = this.#options
    if (blob !== null) {
      if (this.#blobOffset !== blob.size) {
        throw damaged(`the layer's blob has ${this.#blobOffset} bytes, not ${blob.size}`)
      }
      this.#compare("blob", blob.digest, this.#blobHash)
    }
    this.#compare("tar", diffId, this.#tarHash)
  }

  /** What a delta makes of another base than its own is, most often, no tar. */
  #faultOf(error: unknown, during: string): PullFault {
    return error instanceof TarError && (this.#options.base ?? null) !== null
      ? damaged(`${LAYERS_MISMATCH}: the delta makes a tar with ${error.message}`)
      : faultOf(error, during)
  }

  #compare(what: string, expected: string, hash: Sha256): void {
    const digest = `sha256:${hash.digest().toString("hex")}`
    if (digest === expected) return
    const found = `the layer's ${what} is ${digest}, not ${expected}`
    // Where a delta's own bytes are right, it is not one of these two images.
    const isDelta = what === "tar" && (this.#options.base ?? null) !== null
    throw new PullFault({
      reason: "digestMismatch", cause: isDelta ? `${LAYERS_MISMATCH}: ${found}` : found,
    })
  }

  /**
   * Everything made in a directory since changed its mtime; the headers in the index still have
   * it.
   */
  #setDirectoryTimes(): void {
    this.#index.closeFrame(this.#tar.position)
    const replay = this.#entries.directoryTimes()
    const reader = new TarReader(replay)
    IndexReader.saved((buffer, offset) => readAt(this.#files.index, buffer, offset),
      this.#index.length, ({ raw, records }) => {
        let told = 0
        for (const { kind, path, rawEnd, contentLength } of records) {
          reader.write(raw, told, rawEnd)
          told = rawEnd
          if (kind !== "continued") replay.placed(path.toString("latin1"))
          reader.skip(contentLength)
        }
        reader.write(raw, told, raw.length)
      })
  }
}

/** Opens a layer's directory: as its checkpoint left it, if there is one that fits, else empty. */
const begin = (options: ExtractionOptions) => {
  const layer = makeTree(options.directory)
  try {
    return resumed(layer, options) ?? emptied(layer)
  } catch (error) {
    close(layer)
    throw error
  }
}

const resumed = (layer: number, options: ExtractionOptions) => {
  const checkpoint = options.checkpoint === null ? null : decode(options.checkpoint)
  if (checkpoint === null || !fits(checkpoint, options)) return null
  const files = opened(layer)
  if (files === null) return null
  const restored = attempt(() => restore(files, checkpoint))
  if (restored !== null) return { files, checkpoint, ...restored }
  for (const fd of [files.diff, files.shadow, files.index]) close(fd)
  return null
}

const emptied = (layer: number) => {
  for (const name of ["diff", "shadow", "index"]) removeAt(layer, name)
  makeAt(layer, "diff", 0o755)
  makeAt(layer, "shadow", 0o700)
  const files = {
    layer, diff: openBeneath(layer, "diff"), shadow: openBeneath(layer, "shadow"),
    index: openAt(layer, "index", true),
  }
  truncate(files.index, 0)
  return { files, checkpoint: null, saved: undefined, moves: [] }
}

const fits = (checkpoint: Checkpoint, { diffId, bottom, blob }: ExtractionOptions): boolean =>
  checkpoint.diffId === diffId && checkpoint.bottom === bottom &&
  checkpoint.blob === (blob?.digest ?? "")

const opened = (layer: number): LayerFiles | null => {
  const index = attempt(() => openAt(layer, "index", false)) ?? -1
  const [diff, shadow] = [openBeneath(layer, "diff"), openBeneath(layer, "shadow")]
  if (index >= 0 && diff >= 0 && shadow >= 0) return { layer, diff, shadow, index }
  for (const fd of [index, diff, shadow]) if (fd >= 0) close(fd)
  return null
}

/** What is not as a durable checkpoint left it is begun again, whatever is wrong with it. */
const attempt = <A>(work: () => A): A | null => {
  try {
    return work()
  } catch (error) {
    if (error instanceof Errno) return null
    throw error
  }
}
