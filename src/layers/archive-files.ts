import { closeFile, fileSize, openFile, readAt } from "../kernel/readers.ts"
import { PullFault } from "./carrier.ts"
import { TarError, TarReader } from "./tar.ts"
import type { TarEntry } from "./tar.ts"

/** Of what is in an archive: a file's place in it, another path to look at, or nothing of use. */
type Kept =
  | { readonly kind: "file"; readonly offset: number; readonly size: number }
  | { readonly kind: "link"; readonly target: readonly string[] }
  | { readonly kind: "other" }

/** More than this is no saved image: Docker stops at 127 layers, with three files each. */
const ENTRIES_MAX = 100_000
/** As the kernel has it for symlinks on a path. */
const LINKS_MAX = 40
const BLOCK = 512

export const damaged = (cause: string) => new PullFault({ reason: "damaged", cause })
const hostile = (path: string) => new PullFault({
  reason: "hostile", cause: `invalid archive: ${JSON.stringify(path)} leads out of the archive`,
})

/**
 * The files of a tar that lies on the disk, found by path without unpacking it: contents are
 * skipped, symlinks and hard links followed within the archive. Throws `PullFault`. Paths are in
 * UTF-8.
 */
export class ArchiveFiles {
  readonly path: string
  readonly #fd: number
  readonly #size: number
  readonly #kept = new Map<string, Kept>()

  /** Lists the archive; `close` it again. */
  constructor(path: string) {
    this.path = path
    this.#fd = openFile(path)
    try {
      this.#size = fileSize(this.#fd)
      this.#list()
    } catch (error) {
      this.close()
      if (error instanceof TarError) {
        throw damaged(`archive/tar: invalid tar header: ${error.message}`)
      }
      throw error
    }
  }

  close(): void {
    closeFile(this.#fd)
  }

  has(path: string): boolean {
    return this.#find(path) !== undefined
  }

  /** Where a file's bytes lie in the archive. */
  place(path: string): { readonly offset: number; readonly size: number } {
    const found = this.#find(path)
    if (found === undefined) throw damaged(`open ${path}: no such file or directory`)
    return found
  }

  /** All of a file of at most `bytesMax`. */
  bytes(path: string, bytesMax: number): Buffer {
    const { offset, size } = this.place(path)
    if (size > bytesMax) throw damaged(`invalid archive: ${path} has ${size} bytes`)
    const bytes = Buffer.alloc(size)
    if (readAt(this.#fd, bytes, offset) !== size) throw damaged("unexpected EOF")
    return bytes
  }

  #list(): void {
    let entered: TarEntry | null = null
    const reader = new TarReader({
      raw: () => {}, content: () => {}, end: () => {},
      entry: (entry) => {
        entered = entry
      },
    })
    const block = Buffer.alloc(BLOCK)
    while (reader.position < this.#size) {
      // Never more than the rest of a block: an entry's headers end where a block ends.
      const rest = block.subarray(reader.position % BLOCK)
      const got = readAt(this.#fd, rest, reader.position)
      if (got === 0) throw damaged("unexpected EOF")
      reader.write(rest, 0, got)
      if (entered !== null) this.#keep(entered, reader)
      entered = null
      if (reader.state().phase === "end") return
    }
    reader.end()
  }

  /** Notes an entry whose headers have just been read, and passes over its content. */
  #keep(entry: TarEntry, reader: TarReader): void {
    const { stretches } = reader.state()
    const stored = stretches.reduce((sum, { length }) => sum + length, 0)
    const offset = reader.position
    if (offset + stored > this.#size) throw damaged("unexpected EOF")
    const parts = partsOf(entry.path, entry.path)
    const key = parts.join("/")
    if (entry.type === "file" && stored === entry.size) {
      this.#kept.set(key, { kind: "file", offset, size: stored })
    } else if (entry.type === "symlink") {
      const base = entry.link.startsWith("/") ? [] : parts.slice(0, -1)
      this.#kept.set(key, { kind: "link", target: partsOf(entry.link, entry.path, base) })
    } else if (entry.type === "link") {
      this.#kept.set(key, { kind: "link", target: partsOf(entry.link, entry.path) })
    } else this.#kept.set(key, { kind: "other" })
    if (this.#kept.size > ENTRIES_MAX) throw damaged("invalid archive: too many entries")
    reader.skip(stored)
  }

  #find(path: string): Extract<Kept, { kind: "file" }> | undefined {
    let parts = partsOf(Buffer.from(path).toString("latin1"), path)
    for (let links = 0; links < LINKS_MAX; links++) {
      const depth = parts.findIndex((_, n) =>
        this.#kept.get(parts.slice(0, n + 1).join("/"))?.kind === "link")
      const kept = this.#kept.get(parts.slice(0, depth < 0 ? undefined : depth + 1).join("/"))
      if (kept?.kind !== "link") return kept?.kind === "file" ? kept : undefined
      parts = [...kept.target, ...parts.slice(depth + 1)]
    }
    throw damaged(`open ${path}: too many levels of symbolic links`)
  }
}

/** A path's parts, seen from `base`; one that climbs out of the archive is refused. */
function partsOf(path: string, named: string, base: readonly string[] = []): readonly string[] {
  const parts = [...base]
  for (const part of path.split("/")) {
    if (part === "..") {
      if (parts.pop() === undefined) throw hostile(named)
    } else if (part !== "" && part !== ".") parts.push(part)
  }
  return parts
}
