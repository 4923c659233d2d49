import { broken } from "./format.ts"
import type { Reader, Writer } from "./varint.ts"

/** A piece of a text replaced. */
interface Edit {
  /** Characters kept before it. */
  readonly keep: number
  /** Characters that go. */
  readonly drop: number
  readonly insert: string
}

/** How many recent edits can be named by a number. */
const RECENT = 16
const ON_TEMPLATE = 0
const ON_LAST = 1
const OLDER = 2

const applied = (text: string, { keep, drop, insert }: Edit): string | null =>
  keep + drop > text.length ? null : text.slice(0, keep) + insert + text.slice(keep + drop)

const editOf = (before: string, after: string): Edit => {
  const most = Math.min(before.length, after.length)
  let [keep, end] = [0, 0]
  while (keep < most && before[keep] === after[keep]) keep++
  while (end < most - keep && before.at(-1 - end) === after.at(-1 - end)) end++
  return {
    keep, drop: before.length - end - keep, insert: after.slice(keep, after.length - end),
  }
}

/**
 * What renames have in common: a text is told by an edit of its template's, often one that was told
 * before, or of the last path of the target. All characters are bytes.
 */
export class Edits {
  readonly #recent: Edit[] = []
  /** The path of the entry before. */
  last = ""

  /** Tells how `before` becomes `after`. */
  write(before: string, after: string, numbers: Writer, text: Writer): void {
    const known = this.#recent.findIndex((edit) => applied(before, edit) === after)
    if (known >= 0) {
      numbers.number(OLDER + known)
      this.#use(known)
      return
    }
    const [edit, other] = [editOf(before, after), editOf(this.last, after)]
    const onLast = other.insert.length < edit.insert.length
    const chosen = onLast ? other : edit
    numbers.number(onLast ? ON_LAST : ON_TEMPLATE)
    numbers.number(chosen.keep)
    numbers.number(chosen.drop)
    numbers.number(chosen.insert.length)
    text.bytes(Buffer.from(chosen.insert, "latin1"))
    if (!onLast) this.#add(chosen)
  }

  read(before: string, numbers: Reader, text: Reader): string {
    const code = numbers.number()
    if (code >= OLDER) {
      const edit = this.#recent[code - OLDER]
      if (edit === undefined) throw broken("an edit that was never told")
      this.#use(code - OLDER)
      return this.#apply(before, edit)
    }
    const [keep, drop, length] = [numbers.number(), numbers.number(), numbers.number()]
    const edit = { keep, drop, insert: text.bytes(length).toString("latin1") }
    if (code === ON_TEMPLATE) this.#add(edit)
    return this.#apply(code === ON_LAST ? this.last : before, edit)
  }

  #apply(text: string, edit: Edit): string {
    const after = applied(text, edit)
    if (after === null) throw broken("an edit beyond its text")
    return after
  }

  #use(index: number): void {
    const [edit] = this.#recent.splice(index, 1)
    this.#recent.unshift(edit!)
  }

  #add(edit: Edit): void {
    this.#recent.unshift(edit)
    if (this.#recent.length > RECENT) this.#recent.pop()
  }
}
