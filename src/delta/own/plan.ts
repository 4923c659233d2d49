import { FRAME_TAR_BYTES } from "./format.ts"
import type { Base } from "../base.ts"
import type { Source } from "./format.ts"
import { isLike } from "./entries.ts"
import { padded } from "./group.ts"
import { closest, ENTRY_BYTES, nameOf, turns } from "./scan.ts"
import type { BaseScan, Entry, Listing } from "./scan.ts"
import { References } from "./references.ts"
import type { Range } from "./exact.ts"

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

/** Longer contents are told in pieces. */
const WHOLE_BYTES = 4 << 20

/** An old entry by whose headers a new one's are told; is it what that one was before? */
interface Found {
  readonly template: number
  readonly own: boolean
}

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

  /** Null: none would do. */
  of(entry: Entry): Found | null {
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

/** Plans how a target's tar is told, in its order; the items make every byte of it. */
export const plan = async function*(
  scan: BaseScan, target: Base, { entries, stretches }: Listing,
): AsyncGenerator<readonly Item[]> {
  const templates = new Templates(scan)
  const references = new References(scan, target)
  const turn = turns()
  let next = 0
  for (const entry of entries) {
    for (; (stretches[next]?.position ?? Infinity) < entry.position; next++) {
      yield await references.stretch(stretches[next]!)
    }
    yield await told(scan, templates.of(entry), entry, references)
    await turn(ENTRY_BYTES)
  }
  for (; next < stretches.length; next++) yield await references.stretch(stretches[next]!)
}

const told = async (
  scan: BaseScan, found: Found | null, entry: Entry, references: References,
): Promise<readonly Item[]> => {
  const { group, content, next, hash, position } = entry
  const template = found === null ? undefined : scan.listing.entries[found.template]
  const past = found?.own === true ? template ?? null : null
  const end = { position: content + group.content, length: next - content - group.content }
  if (found === null || template === undefined) {
    return [
      ...await references.stretch({ position, length: group.bytes.length }),
      ...await references.long(entry, past), ...await references.stretch(end)]
  }
  const item: Item = {
    headers: { entry, template: found.template }, source: "runs",
    start: content, length: group.content, position: 0, references: [],
  }
  const twin = hash === null ? undefined : scan.byHash.get(hash)
  if (entry.isPadded && group.content <= FRAME_TAR_BYTES / 2) {
    if (template.hash === hash) return [{ ...item, source: null }]
    if (hash === null) return [{ ...item, source: "zeros" }]
    if (twin !== undefined) {
      return [{ ...item, source: "copy", position: scan.listing.entries[twin]!.content }]
    }
  }
  const runs = group.content <= WHOLE_BYTES
    ? await references.of(entry, past) : await references.long(entry, past)
  const [only] = runs
  if (entry.isPadded && runs.length === 1 && only !== undefined && only.source !== "add") {
    return [{ ...only, headers: item.headers }]
  }
  return [item, ...runs, ...await references.stretch(end)]
}
