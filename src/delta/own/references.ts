import { approximate } from "./approximate.ts"
import type { Stretch } from "./approximate.ts"
import { easily, isNoise } from "./compress.ts"
import { exact, placesOf } from "./exact.ts"
import type { Places, Range } from "./exact.ts"
import { bytesOf, FRAME_TAR_BYTES } from "./format.ts"
import type { Base } from "../base.ts"
import type { Item } from "./plan.ts"
import { closest, endingOf, nameOf, stemOf } from "./scan.ts"
import type { BaseScan, Entry } from "./scan.ts"

/** Longest run that is one item, where nothing better is known. */
const PIECE_BYTES = 8 << 20
/** … and of what needs no pool. */
const COPY_BYTES = FRAME_TAR_BYTES / 2
/** Of a piece's dictionary: what lies around the like place. */
const AROUND_BYTES = 12 << 20
/** … and at least this much before and behind it. */
const MARGIN_BYTES = 128 << 10
/** Contents shorter than this are told as they are. */
const APPROXIMATE_BYTES = 4 << 10
/** An addition must come out at least this much shorter, both being compressed in haste. */
const SHORTER = 0.6

const FRESH_BYTES = 64 << 10
/** Shorter bytes between entries are not looked for. */
const SEARCHED_BYTES = 16 << 10
const NONE: Places = new Map()

type Run = Omit<Item, "source"> & { readonly source: NonNullable<Item["source"]> }

const runOf = ({ position, length }: Range, how: Partial<Run> & Pick<Run, "source">): Run =>
  ({ headers: null, start: position, length, position: 0, references: [], ...how })

/** What is like nothing: short texts are like each other, and what the pool has. */
const freshOf = (range: Range): Run =>
  runOf(range, { source: range.length >= FRESH_BYTES ? "fresh" : "pool" })

/** How contents that are nowhere in the old image are told by what is. */
export class References {
  readonly #scan: BaseScan
  readonly #target: Base
  #stretches: Places | null = null
  /** The old that long contents were searched in last: many may be like the same one. */
  #searched: { readonly old: number, readonly places: Places } | null = null

  constructor(scan: BaseScan, target: Base) {
    this.#scan = scan
    this.#target = target
  }

  /** A content of at most a piece; `past`: the entry it was before. One run, or several. */
  async of(entry: Entry, past: Entry | null): Promise<readonly Run[]> {
    const range = { position: entry.content, length: entry.group.content }
    const reference = this.#like(entry, past)
    if (reference === null) {
      return [freshOf(range)]
    }
    return this.#compared(range, {
      position: reference.content, length: Math.min(reference.group.content, AROUND_BYTES),
    })
  }

  /** A longer content, in pieces. */
  async long(entry: Entry, past: Entry | null): Promise<readonly Run[]> {
    const range = { position: entry.content, length: entry.group.content }
    const twin = entry.hash === null ? undefined : this.#scan.byHash.get(entry.hash)
    if (twin !== undefined) {
      return cut(range, COPY_BYTES).map((piece) => runOf(piece, {
        source: "copy",
        position: this.#scan.listing.entries[twin]!.content + piece.position - range.position,
      }))
    }
    const like = this.#like(entry, past)
    const olds = like === null ? [] : [{ position: like.content, length: like.group.content }]
    return this.#parts(range, olds, await this.#placesOf(olds))
  }

  async #placesOf(olds: readonly Range[]): Promise<Places> {
    const [old] = olds
    if (old === undefined) return NONE
    if (this.#searched?.old !== old.position) {
      this.#searched = { old: old.position, places: await placesOf(this.#scan.base, olds) }
    }
    return this.#searched.places
  }

  /** Bytes that are no entry's. */
  async stretch(range: Range): Promise<readonly Run[]> {
    const { base, listing: { stretches } } = this.#scan
    if (range.length < SEARCHED_BYTES) return range.length === 0 ? [] : this.#parts(range, [], NONE)
    this.#stretches ??= await placesOf(base, stretches)
    return this.#parts(range, stretches, this.#stretches)
  }

  async #parts(range: Range, olds: readonly Range[], places: Places): Promise<readonly Run[]> {
    /** Where the old was when the new was at its start, as the last copy has it. */
    let shift: number | null = null
    const runs: Run[] = []
    for (const part of await exact(this.#scan.base, places, this.#target, range)) {
      const { old, position } = part
      if (typeof old === "number") shift = old - position
      for (const piece of cut(part, old === null ? PIECE_BYTES : COPY_BYTES)) {
        if (old === "zeros") runs.push(runOf(piece, { source: "zeros" }))
        else if (old !== null) {
          runs.push(runOf(piece, { source: "copy", position: piece.position + old - position }))
        } else {
          const around = aroundOf(piece, range, olds, shift)
          runs.push(...around === null ? [freshOf(piece)] : await this.#compared(piece, around))
        }
      }
    }
    return runs
  }

  /** A run with what it is like as its dictionary, or added to it. */
  async #compared(range: Range, reference: Range): Promise<readonly Run[]> {
    const whole = runOf(range, { source: "pool", references: [reference] })
    if (range.length < APPROXIMATE_BYTES) return [whole]
    const bytes = bytesOf(this.#target, range)
    const isText = !bytes.subarray(0, APPROXIMATE_BYTES).includes(0)
    if (isText && bytes.length < FRESH_BYTES) return [whole]
    const old = bytesOf(this.#scan.base, reference)
    if (await isNoise(bytes, old)) return [freshOf(range)]
    if (isText) return [whole]
    const stretches = await approximate(old, bytes)
    if (stretches === null || !await isShorter(stretches, old, bytes)) return [whole]
    return stretches.map((stretch) => {
      const { start, length } = stretch
      const at = { position: range.position + start, length }
      return stretch.old === null ? runOf(at, { source: "pool" }) : runOf(at, {
        source: "add", position: reference.position + stretch.old, references: [reference],
      })
    })
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
    return ofSize(alike, entries, group.content)
  }
}

const cut = ({ position, length }: Range, most: number): readonly Range[] =>
  Array.from({ length: Math.ceil(length / most) }, (_, n) =>
    ({ position: position + n * most, length: Math.min(most, length - n * most) }))

/**
 * What of the old is most likely like a piece of a run: around where the last copy leads, else
 * around the place as far into it; null: there is no old.
 */
const aroundOf = (
  piece: Range, run: Range, olds: readonly Range[], shift: number | null,
): Range | null => {
  const middle = piece.position + piece.length / 2
  const led = shift === null ? undefined : olds.find(({ position, length }) =>
    middle + shift >= position && middle + shift < position + length)
  const old = led ?? olds[0]
  if (old === undefined) return null
  const like = led !== undefined && shift !== null
    ? middle + shift - old.position : (middle - run.position) * old.length / run.length
  const wanted = led === undefined ? AROUND_BYTES
    : Math.min(AROUND_BYTES, 2 * Math.max(piece.length, MARGIN_BYTES))
  const from = Math.max(0, Math.min(Math.round(like - wanted / 2), old.length - wanted))
  return { position: old.position + from, length: Math.min(wanted, old.length - from) }
}

/** Is a run told by additions shorter than with a dictionary? */
const isShorter = async (
  stretches: readonly Stretch[], old: Buffer, bytes: Buffer,
): Promise<boolean> => {
  const added = Buffer.concat(stretches.map(({ start, length, old: from }) => {
    const part = Buffer.from(bytes.subarray(start, start + length))
    return from === null ? part : difference(part, old.subarray(from, from + length))
  }))
  const additions = await easily(added) + 3 * stretches.length
  return additions < await easily(bytes, old) * SHORTER
}

/** What is to be added to `old` to give `bytes`, which it is written over. */
export const difference = (bytes: Buffer, old: Buffer): Buffer => {
  for (let at = 0; at < bytes.length; at++) bytes[at] = bytes[at]! - old[at]!
  return bytes
}

/** The one of about this size, if there is one, of indexes sorted by size. */
const ofSize = (
  indexes: readonly number[], entries: readonly Entry[], size: number,
): Entry | null => {
  let [low, high] = [0, indexes.length]
  while (low < high) {
    const middle = low + high >>> 1
    if (entries[indexes[middle]!]!.group.content < size) low = middle + 1
    else high = middle
  }
  const near = [indexes[low], indexes[low - 1]]
    .flatMap((index) => index === undefined ? [] : [entries[index]!])
    .find(({ group }) => Math.abs(group.content - size) <= size / 10)
  return near ?? null
}
