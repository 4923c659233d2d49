import * as Context from "effect/Context"
import type { Address } from "../../machines/words.ts"

/** How far something has come, or why it waits. */
export interface Progress {
  /** A layer, counted in compressed bytes; or an image: what its name stands for has been found. */
  readonly of: Address
  readonly current: number
  readonly total: number
  /** A passing fault, and when the next try comes; null: bytes are coming. */
  readonly retry: { readonly cause: string; readonly afterMs: number } | null
}

/** Who is told how things come along. Volatile: nothing of it is remembered. */
export class ProgressBody {
  readonly #last = new Map<Address, Progress>()
  readonly #listeners = new Set<(progress: Progress) => void>()

  tell(progress: Progress): void {
    this.#last.set(progress.of, progress)
    for (const listener of this.#listeners) listener(progress)
  }
  /** It is done, for better or worse: its last word is forgotten. */
  end(of: Address): void {
    this.#last.delete(of)
  }
  last(of: Address): Progress | undefined {
    return this.#last.get(of)
  }
  listen(listener: (progress: Progress) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

export class ProgressBoard extends Context.Service<ProgressBoard, ProgressBody>()(
  "engine/ProgressBoard",
) {}
