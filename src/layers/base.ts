import { type Base, baseStream } from "../delta/base.ts"
import { PullFault } from "./carrier.ts"
import { LayerDamaged } from "./damage.ts"
import { LayerCache, LayerTar } from "./rebuild.ts"
import { Recent } from "./recent.ts"

/** Each open tar has two descriptors and the table of its frames. */
const OPEN_MAX = 32

/**
 * The base of a delta: an image of this disk as one stream, the tars of its layers end to end, read
 * at random, through one cache. Throws `PullFault` and `Errno`.
 */
export class BaseImage implements Base {
  readonly size: number
  readonly #directories: readonly string[]
  readonly #layers: readonly (Base & { readonly diffId: string })[]
  readonly #stream: Base
  readonly #tars = new Recent<number, LayerTar>(OPEN_MAX, (tar) => tar.close())
  readonly #cache = new LayerCache()
  /** Where in the stream each layer begins. */
  readonly #starts: number[] = []

  /** `directories`: of the layers, lowest first. `close` it again. */
  constructor(directories: readonly string[]) {
    this.#directories = directories
    let start = 0
    const layers = directories.map((_, n) => {
      this.#starts.push(start)
      const { size, diffId } = this.#open(n)
      start += size
      const read: Base["read"] = (position, buffer) =>
        sound(() => this.#open(n).read(position, buffer))
      return { diffId, size, read }
    })
    this.#layers = layers
    this.#stream = baseStream(layers)
    this.size = this.#stream.size
  }

  read(position: number, buffer: Buffer): number {
    return this.#stream.read(position, buffer)
  }

  /** The layer of this very tar, if there is one: it needs no delta. */
  layer(diffId: string): Base | null {
    return this.#layers.find((layer) => layer.diffId === diffId) ?? null
  }

  /** Of its layers, lowest first. */
  get diffIds(): readonly string[] {
    return this.#layers.map(({ diffId }) => diffId)
  }

  close(): void {
    this.#tars.clear()
    this.#cache.close()
  }

  #open(n: number): LayerTar {
    return this.#tars.get(n) ?? this.#tars.set(n, sound(() =>
      LayerTar.open(this.#directories[n]!, { cache: this.#cache, origin: this.#starts[n]! })
    ))
  }
}

/** What is wrong with the base is not wrong with what is made of it. */
const sound = <A>(read: () => A): A => {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof LayerDamaged)) throw error
    throw new PullFault({ reason: "noBase", cause: `the delta's base image: ${error.message}` })
  }
}
