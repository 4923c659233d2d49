import { type Base, baseStream } from "../delta/base.ts"
import { LayerTar } from "./rebuild.ts"
import { Recent } from "./recent.ts"

/** Each open tar has some 5 MiB of caches, and two layers may be in the making at once. */
const OPEN_MAX = 2

/**
 * The base of a delta: an image of this disk as one stream, the tars of its layers end to end, read
 * at random. Few of its layers are open at a time. Throws `LayerDamaged` and `Errno`.
 */
export class BaseImage implements Base {
  readonly size: number
  readonly #directories: readonly string[]
  readonly #diffIds: readonly string[]
  readonly #stream: Base
  readonly #tars = new Recent<number, LayerTar>(OPEN_MAX, (tar) => tar.close())

  /** `directories`: of the layers, lowest first. `close` it again. */
  constructor(directories: readonly string[]) {
    this.#directories = directories
    const tars = directories.map((directory) => LayerTar.open(directory))
    for (const tar of tars) tar.close()
    this.#diffIds = tars.map(({ diffId }) => diffId)
    this.#stream = baseStream(tars.map(({ size }, n) => ({
      size, read: (position, buffer) => this.#open(n).read(position, buffer),
    })))
    this.size = this.#stream.size
  }

  read(position: number, buffer: Buffer): number {
    return this.#stream.read(position, buffer)
  }

  /** The layer of this very tar, if there is one: it needs no delta. */
  layer(diffId: string): Base | null {
    const n = this.#diffIds.indexOf(diffId)
    return n < 0 ? null : this.#open(n)
  }

  /** Of its layers, lowest first. */
  get diffIds(): readonly string[] {
    return this.#diffIds
  }

  close(): void {
    this.#tars.clear()
  }

  #open(n: number): LayerTar {
    return this.#tars.get(n) ?? this.#tars.set(n, LayerTar.open(this.#directories[n]!))
  }
}
