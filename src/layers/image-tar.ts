import { chunks, LayerCache, LayerTar } from "./rebuild.ts"

/**
 * A whole image as one seekable stream: the tars of its layers, lowest first, one behind the other
 * with nothing between or aligned, each with its own end-of-archive blocks. That is the stream in
 * which the offsets of a balenaEngine delta count.
 */
export class ImageTar {
  readonly size: number
  readonly #layers: readonly LayerTar[]
  /** Where each layer begins. */
  readonly #starts: readonly number[]

  private constructor(layers: readonly LayerTar[]) {
    this.#layers = layers
    let size = 0
    this.#starts = layers.map((layer) => (size += layer.size) - layer.size)
    this.size = size
  }

  /** Opens the directories of an image's layers, lowest first; close it again. */
  static open(directories: readonly string[]): ImageTar {
    const cache = new LayerCache()
    const layers: LayerTar[] = []
    try {
      for (const directory of directories) layers.push(LayerTar.open(directory, cache))
    } catch (error) {
      for (const layer of layers) layer.close()
      throw error
    }
    return new ImageTar(layers)
  }

  close(): void {
    for (const layer of this.#layers) layer.close()
  }

  /** Fills `buffer` from `position` on; short only at the end. Throws as `LayerTar.read` does. */
  read(position: number, buffer: Buffer): number {
    let done = 0
    let number = this.#layerAt(position)
    for (; done < buffer.length && number < this.#layers.length; number++) {
      const start = this.#starts[number]!
      done += this.#layers[number]!.read(position + done - start, buffer.subarray(done))
    }
    return done
  }

  /** The whole stream in order, in buffers of `length` bytes that are the caller's to keep. */
  chunks(length?: number): Generator<Buffer> {
    return chunks(this, length)
  }

  #layerAt(position: number): number {
    let number = this.#starts.findLastIndex((start) => start <= position)
    if (number < 0) number = 0
    return number
  }
}
