import { broken, ENTRY } from "./format.ts"
import type { Column } from "./format.ts"
import type { BaseReader } from "./base.ts"
import { changed, EMPTY_TYPES, otherFields, otherLength, OTHERS, padded } from "./group.ts"
import type { Change, Group } from "./group.ts"
import { Edits } from "./paths.ts"
import type { Reader, Writer } from "./varint.ts"

/** A group of the base, and where it stands. */
export interface Template {
  readonly position: number
  readonly group: Group
}

/** Where the content behind a template begins, and where the group behind that is expected. */
export const contentOf = ({ position, group }: Template): number => position + group.bytes.length
export const nextOf = (template: Template): number =>
  contentOf(template) + padded(template.group.content)

/** A step over more entries is told in bytes. */
export const AHEAD = 100

/** Steps from the template before to the next: even numbers count entries, odd ones are jumps. */
const SAME = 0

/** The place in the base's listing, and all that entries have in common. */
class Walk {
  readonly edits = new Edits()
  before: Template | null = null
  next = 0
  /** What the mtime before was off by. */
  late = 0
}

/** Content bytes behind a changed group. */
const contentLength = (template: Group, change: Change): number => {
  const type = change.others.get(OTHERS.indexOf("type"))?.toString("latin1") ?? template.type
  if (EMPTY_TYPES.includes(type) && type !== "") return 0
  if (template.type === type && change.size === null) return template.content
  return change.size ?? template.size ?? 0
}

/** Reads entries' headers out of a frame's columns. */
export class EntryReader {
  readonly #walk = new Walk()
  readonly #columns: Readonly<Record<Column, Reader>>
  readonly #base: BaseReader

  constructor(columns: Readonly<Record<Column, Reader>>, base: BaseReader) {
    this.#columns = columns
    this.#base = base
  }

  /** The headers of an entry whose item is `flags`, its template, and how long its content is. */
  read(flags: number): { bytes: Buffer, template: Template, length: number } {
    const walk = this.#walk
    const template = this.#template((flags & ENTRY.step) !== 0)
    const { group } = template
    const { mtimes, sizes, edits, text } = this.#columns
    const told = (flag: number, tell: () => string | null) => (flags & flag) === 0 ? null : tell()
    const path = told(ENTRY.path, () => walk.edits.read(group.path, edits, text))
    const link = told(ENTRY.link, () => walk.edits.read(group.link, edits, text))
    const change: Change = {
      path, link,
      mtime: (flags & ENTRY.mtime) === 0
        ? null : (group.mtime ?? 0) + (walk.late += mtimes.signed()),
      size: (flags & ENTRY.size) === 0 ? null : (group.size ?? 0) + sizes.signed(),
      others: (flags & ENTRY.other) === 0 ? NONE : this.#others(),
    }
    walk.edits.last = path ?? group.path
    const length = contentLength(group, change)
    if (length < 0) throw broken("content of less than no bytes")
    const bytes = (flags & CHANGED) !== 0 ? changed(group, change) : group.bytes
    if (bytes === null) throw broken("headers that cannot be made")
    return { bytes, template, length }
  }

  #template(stepped: boolean): Template {
    const walk = this.#walk
    const step = stepped ? this.#columns.steps.number() : 2
    if (step === SAME) {
      if (walk.before === null) throw broken("no template to use again")
      return walk.before
    }
    let position = walk.next
    if (step % 2 === 0 && step > 2 * AHEAD + 2) throw broken("a step over too many entries")
    if (step % 2 === 1) position += step % 4 === 1 ? (step - 1) / 4 : -(step + 1) / 4
    for (let skipped = 2; step % 2 === 0 && skipped < step; skipped += 2) {
      position = nextOf({ position, group: this.#base.group(position) })
    }
    const template = { position, group: this.#base.group(position) }
    walk.before = template
    walk.next = nextOf(template)
    return template
  }

  #others(): ReadonlyMap<number, Buffer> {
    const { others } = this.#columns
    const bits = others.number()
    if (bits >= 1 << OTHERS.length) throw broken("fields that are not known")
    const fields = new Map<number, Buffer>()
    for (let bit = 0; bit < OTHERS.length; bit++) {
      if ((bits >> bit & 1) === 1) fields.set(bit, others.bytes(otherLength(bit)))
    }
    return fields
  }
}

const CHANGED = ENTRY.path | ENTRY.link | ENTRY.mtime | ENTRY.size | ENTRY.other
const NONE: ReadonlyMap<number, Buffer> = new Map()

/** Writes entries' headers into columns; the twin of `EntryReader`. */
export class EntryWriter {
  readonly #walk = new Walk()
  readonly #columns: Readonly<Record<Column, Writer>>

  constructor(columns: Readonly<Record<Column, Writer>>) {
    this.#columns = columns
  }

  /**
   * Tells of `group` as a change of `template`, which is `ahead` entries behind the one expected
   * (null: say how far in bytes). Answers the flags; the caller adds the content's and writes them.
   */
  write(template: Template, group: Group, ahead: number | null): number {
    const walk = this.#walk
    const change = changeOf(template.group, group)
    const { mtimes, sizes, edits, text } = this.#columns
    let flags = this.#step(template, ahead)
    if (change.path !== null) {
      flags |= ENTRY.path
      walk.edits.write(template.group.path, change.path, edits, text)
    }
    if (change.link !== null) {
      flags |= ENTRY.link
      walk.edits.write(template.group.link, change.link, edits, text)
    }
    if (change.mtime !== null) {
      const late = change.mtime - (template.group.mtime ?? 0)
      flags |= ENTRY.mtime
      mtimes.signed(late - walk.late)
      walk.late = late
    }
    if (change.size !== null) {
      flags |= ENTRY.size
      sizes.signed(change.size - (template.group.size ?? 0))
    }
    if (change.others.size > 0) flags |= this.#others(change.others)
    walk.edits.last = group.path
    return flags
  }

  #step(template: Template, ahead: number | null): number {
    const walk = this.#walk
    const { position } = template
    if (walk.before?.position === position) {
      this.#columns.steps.number(SAME)
      return ENTRY.step
    }
    const expected = position === walk.next
    const far = position - walk.next
    if (!expected) {
      if (ahead !== null) this.#columns.steps.number(2 * ahead + 2)
      else this.#columns.steps.number(far > 0 ? 4 * far + 1 : -4 * far - 1)
    }
    walk.before = template
    walk.next = nextOf(template)
    return expected ? 0 : ENTRY.step
  }

  #others(fields: ReadonlyMap<number, Buffer>): number {
    const { others } = this.#columns
    others.number([...fields.keys()].reduce((bits, bit) => bits | 1 << bit, 0))
    for (const bytes of fields.values()) others.bytes(bytes)
    return ENTRY.other
  }

  /** Where the next template is expected. */
  get next(): number {
    return this.#walk.next
  }
}

const changeOf = (template: Group, group: Group): Change => ({
  path: group.path === template.path ? null : group.path,
  link: group.link === template.link ? null : group.link,
  mtime: group.mtime === template.mtime ? null : group.mtime,
  size: group.size === template.size ? null : group.size,
  others: otherFields(template, group),
})

/** Can the group be told as a change of the template, with all its bytes? */
export const isLike = (template: Group, group: Group): boolean => {
  if (template.bytes.equals(group.bytes)) return true
  const change = changeOf(template, group)
  return changed(template, change)?.equals(group.bytes) === true
    && contentLength(template, change) === group.content
}
