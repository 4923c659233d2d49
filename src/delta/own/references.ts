import { DICTIONARY_BYTES } from "./format.ts"
import type { Base, Source } from "./format.ts"
import type { Item } from "./plan.ts"
import { closest, endingOf, nameOf, stemOf } from "./scan.ts"
import type { BaseScan, Entry } from "./scan.ts"

/** A stretch of the base. */
export interface Range {
  readonly position: number
  readonly length: number
}

const PIECE_BYTES = 4 << 20
/** Of a piece's dictionary: what is around the place that lies alike. */
const AROUND_BYTES = 8 << 20

/** Files of the old image that changed and new ones are compared with. */
export class References {
  readonly #scan: BaseScan

  constructor(scan: BaseScan, _target: Base) {
    this.#scan = scan
  }

  /** How a file of up to a few MiB is told. `past`: the entry it was before. */
  of(entry: Entry, past: Entry | null): { source: Source, references: readonly Range[] } {
    const reference = this.#like(entry, past)
    if (reference === null) {
      return { source: entry.group.content >= 64 << 10 ? "fresh" : "pool", references: [] }
    }
    const { content, group } = reference
    const length = Math.min(group.content, DICTIONARY_BYTES)
    return { source: "pool", references: [{ position: content, length }] }
  }

  /** A longer file in pieces, each with what lies around the same place of its reference. */
  *pieces(entry: Entry, past: Entry | null): Generator<Item> {
    const { content, group } = entry
    const twin = entry.hash === null ? undefined : this.#scan.byHash.get(entry.hash)
    const same = twin === undefined ? null : this.#scan.listing.entries[twin]!
    const reference = this.#like(entry, past)
    for (let at = 0; at < group.content; at += PIECE_BYTES) {
      const length = Math.min(PIECE_BYTES, group.content - at)
      const run = { headers: null, start: content + at, length, position: 0, references: [] }
      if (same !== null) yield { ...run, source: "copy", position: same.content + at }
      else if (reference === null) yield { ...run, source: "fresh" }
      else {
        const scale = reference.group.content / group.content
        const from = Math.max(0, Math.min(
          Math.round((at + length / 2) * scale - AROUND_BYTES / 2),
          reference.group.content - AROUND_BYTES))
        const around = {
          position: reference.content + from,
          length: Math.min(AROUND_BYTES, reference.group.content - from),
        }
        yield { ...run, source: "pool", references: [around] }
      }
    }
  }

  /** For bytes that are no entry's. */
  ofStretch(): readonly Range[] {
    return this.#scan.listing.stretches.slice(0, 4)
  }

  /** What an entry was before, or is most like by name, or else by kind and size. */
  #like({ group }: Entry, past: Entry | null): Entry | null {
    const { listing: { entries }, byName, byStem, byEnding } = this.#scan
    if (past !== null && past.hash !== null) return past
    const files = (byName.get(nameOf(group.path)) ?? [])
      .filter((index) => entries[index]!.hash !== null)
    const named = closest(group.path, files, entries)
      ?? closest(group.path, byStem.get(stemOf(group.path)) ?? [], entries)
    if (named !== undefined) return entries[named]!
    const alike = byEnding.get(endingOf(group.path)) ?? []
    return ofSize(alike.map((index) => entries[index]!), group.content)
  }
}

/** The one of about this size, if there is one; sorted by size. */
const ofSize = (entries: readonly Entry[], size: number): Entry | null => {
  const at = entries.findIndex(({ group }) => group.content >= size)
  const near = [entries[at], entries[at - 1]]
    .filter((entry) => entry !== undefined && Math.abs(entry.group.content - size) <= size / 10)
  return near[0] ?? null
}

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
}
