import { close, shown, truncate, writeAt } from "../kernel/files.ts"
import type { Bytes } from "../kernel/files.ts"
import type { FlushCalls } from "../kernel/flush.ts"
import { Steps, WriteBack } from "../kernel/writeback.ts"
import type { CurrentState } from "./checkpoint.ts"
import { Diff } from "./diff.ts"
import type { Moved } from "./diff.ts"
import { damaged } from "./faults.ts"
import { Pieces } from "./index.ts"
import type { IndexWriter, RecordKind } from "./index.ts"
import { join, markerOf, parentOf, relativePath } from "./paths.ts"
import type { LayerFiles } from "./resume.ts"
import type { TarEntry, TarSink } from "./tar.ts"

/** The entry being read, and the file it is written to. */
interface Current {
  readonly entry: TarEntry
  readonly kind: RecordKind
  readonly path: Bytes
  readonly file: Writing | null
}

interface Writing {
  readonly fd: number
  readonly steps: Steps
  pieces: Pieces
  /** Where in the file the next byte is expected; a hole begins where it comes later. */
  position: number
  /** Bytes written since the last record. */
  unrecorded: number
  recorded: boolean
}

/** What `Entries` is made of. */
export interface EntriesOptions {
  readonly files: LayerFiles
  readonly index: IndexWriter
  readonly bottom: boolean
  readonly calls: FlushCalls
  readonly moves: readonly Moved[]
  readonly current: CurrentState | null
  readonly bytes: number
}

/**
 * Turns a tar's entries into files and into records of the index. What has no file keeps its
 * content, should it have any, among the index's raw bytes.
 */
export class Entries implements TarSink {
  /** Bytes of file content made so far, holes included, hard links not. */
  bytes: number
  readonly #index: IndexWriter
  readonly #bottom: boolean
  readonly #calls: FlushCalls
  readonly #diff: Diff
  readonly #writeBack: WriteBack
  #current: Current | null = null

  constructor({ files, index, bottom, calls, moves, current, bytes }: EntriesOptions) {
    this.#index = index
    this.#bottom = bottom
    this.#calls = calls
    this.bytes = bytes
    this.#writeBack = new WriteBack(calls)
    this.#diff = new Diff(files.diff, files.shadow, () => this.#index.nextEntry)
    this.#diff.moves.push(...moves)
    if (current !== null) this.#reopen(current)
  }

  get moves(): readonly Moved[] {
    return this.#diff.moves
  }

  /** Entries begun: those recorded, and the current one. */
  get begun(): number {
    const begun = this.#current !== null && this.#current.file?.recorded !== true
    return this.#index.nextEntry + (begun ? 1 : 0)
  }

  /** What is being done, for people. */
  get during(): string {
    const path = this.#current?.entry.path
    return path === undefined ? "the layer" : `the layer's entry ${shown(path.slice(0, 200))}`
  }

  /** The current entry, as it is kept in a checkpoint. Right only after `settle`. */
  get current(): CurrentState | null {
    if (this.#current === null) return null
    const { entry, kind, path, file } = this.#current
    return {
      entry, kind, path, written: file?.position ?? null, recorded: file?.recorded ?? false,
    }
  }

  raw(bytes: Buffer): void {
    this.#index.raw(bytes)
  }

  entry(entry: TarEntry): void {
    this.#current = { entry, kind: "none", path: "", file: null }
    this.#current = { entry, ...this.#begin(entry) }
  }

  content(bytes: Buffer, start: number, end: number, offset: number): void {
    const file = this.#current!.file
    if (file === null) {
      this.#index.raw(bytes.subarray(start, end))
      return
    }
    if (offset !== file.position) {
      this.#record(file)
      file.pieces = new Pieces(offset)
    }
    writeAt(file.fd, bytes, start, end, offset)
    file.pieces.update(bytes.subarray(start, end))
    file.unrecorded += end - start
    file.position = offset + end - start
    file.steps.reached(file.position)
  }

  end(): void {
    const { entry, kind, path, file } = this.#current!
    if (file !== null) {
      this.#record(file)
      if (!file.recorded) this.#index.record({ kind: "none", path: Buffer.from(path, "latin1") })
      if (file.position < entry.size) truncate(file.fd, entry.size)
      this.#diff.finishFile(file.fd, entry)
      this.bytes += entry.size
      if (file.position === 0) this.#calls.close(file.fd)
      else this.#writeBack.add(file.fd, file.steps.dirty(file.position))
    } else {
      this.#index.record({ kind, path: Buffer.from(path, "latin1") })
      if (entry.type === "symlink") this.bytes += entry.link.length
    }
    this.#current = null
  }

  /** Waits until all content is on the disk; records what the current file has of it. */
  settle(): void {
    const file = this.#current?.file ?? null
    this.#writeBack.settle()
    if (file === null) return
    file.steps.settle(file.position)
    this.#record(file)
  }

  /** A listener for a second reading of the tar's headers, told where each entry was placed. */
  directoryTimes(): TarSink & { readonly placed: (path: Bytes) => void } {
    let last: TarEntry | null = null
    return {
      raw: () => {},
      content: () => {},
      end: () => {},
      entry: (entry) => {
        last = entry
      },
      placed: (path) => {
        if (last?.type === "directory" && path !== "") this.#diff.setDirectoryTime(path, last)
      },
    }
  }

  close(): void {
    this.#writeBack.abandon()
    const fd = this.#current?.file?.fd
    if (fd !== undefined) close(fd)
    this.#diff.close()
  }

  /** Ends the segment of content written since the last record. */
  #record(file: Writing): void {
    if (file.unrecorded === 0) return
    this.#index.record({
      kind: file.recorded ? "continued" : "content",
      path: Buffer.from(this.#current!.path, "latin1"),
      ...file.pieces.end(),
    })
    file.recorded = true
    file.unrecorded = 0
  }

  #begin(entry: TarEntry): Omit<Current, "entry"> {
    const path = relativePath(entry.path, entry.path)
    const marker = markerOf(path)
    if (marker?.kind === "bookkeeping") return { kind: "unmaterialised", path, file: null }
    if (marker?.kind === "opaque") {
      const directory = parentOf(path)
      const made = this.#bottom ? directory : this.#diff.opaque(directory)
      return { kind: "opaque", path: made, file: null }
    }
    if (marker?.kind === "whiteout") {
      const hidden = join(parentOf(path), marker.of)
      const made = this.#bottom ? hidden : this.#diff.whiteout(hidden, entry)
      return { kind: "whiteout", path: made, file: null }
    }
    return path === "" ? this.#root(entry) : this.#make(path, entry)
  }

  /**
   * Docker leaves the root's metadata alone; the container's own upper directory decides anyway.
   */
  #root(entry: TarEntry): Omit<Current, "entry"> {
    if (entry.type !== "directory") throw damaged("the layer's root is no directory")
    return { kind: "none", path: "", file: null }
  }

  #make(path: Bytes, entry: TarEntry): Omit<Current, "entry"> {
    const none = (made: Bytes) => ({ kind: "none" as const, path: made, file: null })
    switch (entry.type) {
      case "file": {
        const made = this.#diff.createFile(path)
        return { kind: "content", path: made.path, file: this.#writing(made.fd, 0, false) }
      }
      case "directory": return none(this.#diff.directory(path, entry))
      case "symlink": return none(this.#diff.symlink(path, entry))
      case "link": return none(this.#diff.link(path, relativePath(entry.link, entry.path)))
      case "character":
        // It would be a whiteout, which only `.wh.` may make.
        if (entry.major === 0 && entry.minor === 0) {
          return { kind: "unmaterialised", path, file: null }
        }
        return none(this.#diff.node(path, entry))
      case "block":
      case "fifo": return none(this.#diff.node(path, entry))
    }
  }

  #writing(fd: number, position: number, recorded: boolean): Writing {
    return {
      fd, position, recorded, unrecorded: 0,
      pieces: new Pieces(position), steps: new Steps(this.#calls, fd, position),
    }
  }

  #reopen({ entry, kind, path, written, recorded }: CurrentState): void {
    const file = written === null
      ? null : this.#writing(this.#diff.reopenFile(path), written, recorded)
    this.#current = { entry, kind, path, file }
  }
}
