import { closeFile, dropCache, openForReading, readAhead } from "../kernel/readers.ts"
import { Recent } from "./recent.ts"

const OPEN_MAX = 32

interface Opened {
  readonly fd: number
  /** Its pages are in the page cache because of this. */
  readonly ahead: boolean
}

/**
 * The files of layers that were read last, and those to be read next: a disk has many small files
 * sooner if it is asked for several at once. What was read ahead leaves the page cache with its
 * descriptor. Throws `Errno`.
 */
export class OpenFiles {
  readonly #held = new Recent<string, Opened>(OPEN_MAX, ({ fd, ahead }) => {
    if (ahead) dropCache(fd)
    closeFile(fd)
  })

  /** A descriptor of the file at `path` below the open directory; `layer` tells it from others. */
  open(layer: number, directory: number, path: Buffer): number {
    return this.#opened(layer, directory, path, 0).fd
  }

  /** Begins to read the first `length` bytes of a file that will be opened soon. */
  expect(layer: number, directory: number, path: Buffer, length: number): void {
    this.#opened(layer, directory, path, length)
  }

  close(): void {
    this.#held.clear()
  }

  #opened(layer: number, directory: number, path: Buffer, length: number): Opened {
    const key = `${layer}/${path.toString("latin1")}`
    const held = this.#held.get(key)
    if (held !== undefined) return held
    const fd = openForReading(directory, path)
    return this.#held.set(key, { fd, ahead: length > 0 && readAhead(fd, length) })
  }
}
