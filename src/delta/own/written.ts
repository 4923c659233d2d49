import { AHEAD, EntryWriter } from "./entries.ts"
import { bytesOf, COLUMN_BYTES, COLUMNS, ENTRY, RUN, SOURCES } from "./format.ts"
import type { Base } from "../base.ts"
import type { Column } from "./format.ts"
import { joined } from "./parts.ts"
import { poolBytes } from "./plan.ts"
import type { Item } from "./plan.ts"
import { Ranges } from "./ranges.ts"
import { difference } from "./references.ts"
import { ENTRY_BYTES, turns } from "./scan.ts"
import type { BaseScan } from "./scan.ts"
import { Writer } from "./varint.ts"

/** A frame's parts, not yet compressed, and what its pool may refer to. */
export interface Written {
  readonly columns: Buffer
  readonly pool: Buffer
  readonly fresh: Buffer
  readonly add: Buffer
  readonly dictionary: Buffer
}

type Columns = Readonly<Record<Column, Writer>>

/** Writes headers, and remembers which template was the last. */
class Headers {
  readonly #scan: BaseScan
  readonly #entries: EntryWriter
  #before = -1

  constructor(scan: BaseScan, columns: Columns) {
    this.#scan = scan
    this.#entries = new EntryWriter(columns)
  }

  write({ entry, template }: NonNullable<Item["headers"]>): number {
    const { position, group } = this.#scan.listing.entries[template]!
    const ahead = this.#ahead(template)
    this.#before = template
    return this.#entries.write({ position, group }, entry.group, ahead)
  }

  /** How many entries are stepped over, if they all follow each other. */
  #ahead(template: number): number | null {
    const { entries } = this.#scan.listing
    const from = this.#before
    if (from < 0 || template <= from || template - from > AHEAD) return null
    for (let at = from; at < template; at++) {
      if (entries[at]!.next !== entries[at + 1]!.position) return null
    }
    return template - from - 1
  }
}

/** Writing an item takes as long as reading so much. */
const ITEM_BYTES = 256

/** Items as columns and pools; null: more than one frame may have. */
export const written = async (
  scan: BaseScan, target: Base, items: readonly Item[],
): Promise<Written | null> => {
  const columns = Object.fromEntries(COLUMNS.map((name) => [name, new Writer()])) as
    Record<Column, Writer>
  const ranges = new Ranges()
  for (const { references } of items) ranges.add(references)
  const dictionary = await dictionaryOf(scan.base, ranges, columns.dictionary)
  const places = ranges.places()
  const headers = new Headers(scan, columns)
  const pools = { pool: [] as Buffer[], fresh: [] as Buffer[], add: [] as Buffer[] }
  const turn = turns()
  let [copied, added] = [0, 0]
  for (const item of items) {
    const { headers: told, source, length, start, position, references } = item
    await turn(poolBytes(item) === 0 ? ITEM_BYTES : length + ENTRY_BYTES)
    if (told === null) {
      columns.items.byte(RUN | SOURCES.indexOf(source!) << 1)
      columns.lengths.number(length)
    } else {
      columns.items.byte(headers.write(told) | (source === null ? 0 : ENTRY.content))
      if (source !== null) columns.sources.byte(SOURCES.indexOf(source))
    }
    if (source === "copy") {
      columns.positions.signed(position - copied)
      copied = position + length
    } else if (source === "add") {
      const [range] = references
      const place = places.get(range!.position)! + position - range!.position
      columns.positions.signed(place - added)
      added = place + length
      const old = dictionary.subarray(place, added)
      pools.add.push(difference(bytesOf(target, { position: start, length }), old))
    } else if (source === "pool" || source === "fresh") {
      pools[source].push(bytesOf(target, { position: start, length }))
    }
  }
  const all = joined(columns)
  if (all.length > COLUMN_BYTES) return null
  return {
    columns: all, dictionary, pool: Buffer.concat(pools.pool),
    fresh: Buffer.concat(pools.fresh), add: Buffer.concat(pools.add),
  }
}

const dictionaryOf = async (base: Base, ranges: Ranges, column: Writer): Promise<Buffer> => {
  const parts: Buffer[] = []
  const turn = turns()
  let end = 0
  for (const range of ranges.all()) {
    column.signed(range.position - end)
    column.number(range.length)
    end = range.position + range.length
    parts.push(bytesOf(base, range))
    await turn(range.length + ENTRY_BYTES)
  }
  return Buffer.concat(parts)
}
