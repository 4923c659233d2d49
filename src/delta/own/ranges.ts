import type { Range } from "./exact.ts"

/** Ranges of the base, each once. */
export class Ranges {
  readonly #byPosition = new Map<number, Range>()
  length = 0

  lengthWith(more: readonly Range[]): number {
    return more.reduce((sum, range) => sum + this.#added(range), this.length)
  }

  add(more: readonly Range[]): void {
    for (const range of more) {
      this.length += this.#added(range)
      if (this.#added(range) > 0) this.#byPosition.set(range.position, range)
    }
  }

  #added({ position, length }: Range): number {
    return Math.max(0, length - (this.#byPosition.get(position)?.length ?? 0))
  }

  all(): readonly Range[] {
    return [...this.#byPosition.values()].toSorted((a, b) => a.position - b.position)
  }

  /** Where each begins when all are put end to end, by its position. */
  places(): ReadonlyMap<number, number> {
    let end = 0
    return new Map(this.all().map(({ position, length }) => [position, (end += length) - length]))
  }
}
