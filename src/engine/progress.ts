import * as Context from "effect/Context"
import type { Address } from "../../machines/words.ts"

/** How far a layer has come, in compressed bytes; or why it waits. */
export interface Progress {
  readonly layer: Address
  readonly current: number
  readonly total: number
  /** A passing fault, and when the next try comes; null: bytes are coming. */
  readonly retry: { readonly cause: string; readonly afterMs: number } | null
}

/** Who is told how a layer comes along. Volatile: nothing of it is remembered. */
export class ProgressBody {
  readonly #last = new Map<Address, Progress>()
  readonly #listeners = new Set<(progress: Progress) => void>()

  tell(progress: Progress): void {
    this.#last.set(progress.layer, progress)
    for (const listener of this.#listeners) listener(progress)
  }
  /** A layer is done, for better or worse: its last word is forgotten. */
  end(layer: Address): void {
    this.#last.delete(layer)
  }
  last(layer: Address): Progress | undefined {
    return this.#last.get(layer)
  }
  listen(listener: (progress: Progress) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

export class ProgressBoard extends Context.Service<ProgressBoard, ProgressBody>()(
  "engine/ProgressBoard",
) {}
