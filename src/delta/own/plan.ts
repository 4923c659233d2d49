import { FRAME_TAR_BYTES } from "./format.ts"
import type { Base, Source } from "./format.ts"
import { isLike } from "./entries.ts"
import { padded } from "./group.ts"
import { closest, nameOf } from "./scan.ts"
import type { BaseScan, Entry, Listing } from "./scan.ts"
import { References } from "./references.ts"
import type { Range } from "./references.ts"

/** A part of a target's tar, and how it is told. */
export interface Item {
  /** Null: a run of bytes. */
  readonly headers: { readonly entry: Entry, readonly template: number } | null
  /** Null: as the template's. */
  readonly source: Source | null
  /** Where its content (or the run) begins in the target, and how long it is. */
  readonly start: number
  readonly length: number
  /** Of a copy or an addition. */
  readonly position: number
  /** What of the base is worth comparing with. */
  readonly references: readonly Range[]
}

/** Bytes of tar that an item makes. */
export const tarBytes = ({ headers, source, length }: Item): number => {
  if (headers === null) return length
  return headers.entry.group.bytes.length + (source === "runs" ? 0 : padded(length))
}

export const poolBytes = ({ source, length }: Item): number =>
  source === "pool" || source === "fresh" || source === "add" ? length : 0

/** Longest run that is one item. */
const RUN_BYTES = 4 << 20

/** What of the old image each entry of the new one is told by. */
class Templates {
  readonly #scan: BaseScan
  /** The last rename: what paths began with, and begin with now. */
  #rename: readonly [before: string, after: string] = ["", ""]
  #expected = 0
  #last = -1

  constructor(scan: BaseScan) {
    this.#scan = scan
  }

  /** Index of a template, and whether it is the entry's own past; null: none would do. */
  of(entry: Entry): { readonly template: number, readonly own: boolean } | null {
    const { listing: { entries } } = this.#scan
    const found = this.#candidates(entry)
      .find((index) => index !== undefined && isLike(entries[index]!.group, entry.group))
    if (found !== undefined) {
      this.#note(entries[found]!.group.path, entry.group.path)
      this.#expected = found + 1
      this.#last = found
      return { template: found, own: true }
    }
    const last = entries[this.#last]
    if (last === undefined || !isLike(last.group, entry.group)) return null
    return { template: this.#last, own: false }
  }

  *#candidates({ group: { path } }: Entry): Generator<number | undefined> {
    const { byPath, byName, listing: { entries } } = this.#scan
    yield byPath.get(path)
    const [before, after] = this.#rename
    if (path.startsWith(after)) yield byPath.get(before + path.slice(after.length))
    const name = nameOf(path)
    const expected = entries[this.#expected]
    if (expected !== undefined && nameOf(expected.group.path) === name) yield this.#expected
    yield closest(path, byName.get(name) ?? [], entries)
  }

  #note(before: string, after: string): void {
    if (before === after) return
    let same = 0
    while (same < before.length && before.at(-1 - same) === after.at(-1 - same)) same++
    this.#rename = [before.slice(0, before.length - same), after.slice(0, after.length - same)]
  }
}

/** Plans how a target's tar is told, in its order; what is told makes every byte of it. */
export const plan = function*(
  scan: BaseScan, target: Base, { entries, stretches }: Listing,
): Generator<Item> {
  const templates = new Templates(scan)
  const references = new References(scan, target)
  let next = 0
  for (const entry of entries) {
    for (; (stretches[next]?.position ?? Infinity) < entry.position; next++) {
      yield* runs(stretches[next]!.position, stretches[next]!.length, references.ofStretch())
    }
    yield* told(scan, templates.of(entry), entry, references)
  }
  for (; next < stretches.length; next++) {
    yield* runs(stretches[next]!.position, stretches[next]!.length, references.ofStretch())
  }
}

const told = function*(
  scan: BaseScan, found: { readonly template: number, readonly own: boolean } | null,
  entry: Entry, references: References,
): Generator<Item> {
  const { group, content, next, hash } = entry
  if (found === null) {
    yield* runs(entry.position, group.bytes.length, [])
  } else {
    const template = scan.listing.entries[found.template]!
    const headers = { entry, template: found.template }
    const item = { headers, start: content, length: group.content, position: 0, references: [] }
    const twin = hash === null ? undefined : scan.byHash.get(hash)
    const whole = entry.isPadded && group.content <= FRAME_TAR_BYTES / 2
    if (whole && template.hash === hash) return yield { ...item, source: null }
    if (whole && hash === null) return yield { ...item, source: "zeros" }
    if (whole && twin !== undefined) {
      return yield { ...item, source: "copy", position: scan.listing.entries[twin]!.content }
    }
    if (whole && group.content <= RUN_BYTES) {
      return yield { ...item, ...references.of(entry, found.own ? template : null) }
    }
    yield { ...item, source: "runs" }
  }
  yield* references.pieces(entry, found?.own === true ? scan.listing.entries[found.template]! : null)
  yield* runs(content + group.content, next - content - group.content, [])
}

/** Bytes told by a pool, in items that are not too long. */
const runs = function*(
  position: number, length: number, references: readonly Range[],
): Generator<Item> {
  for (let at = 0; at < length; at += RUN_BYTES) {
    yield {
      headers: null, source: "pool", start: position + at, length: Math.min(RUN_BYTES, length - at),
      position: 0, references,
    }
  }
}
