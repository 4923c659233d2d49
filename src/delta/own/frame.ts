import { crc32 } from "node:zlib"
import { BaseReader } from "./base.ts"
import { contentOf, EntryReader } from "./entries.ts"
import {
  broken, FrameError, DICTIONARY_BYTES, ENTRY, GROUP_BYTES, RUN, SOURCES,
} from "./format.ts"
import type { Base } from "../base.ts"
import type { Column, FrameHead, Source } from "./format.ts"
import { padded } from "./group.ts"
import { columnsOf, partsOf, unpack } from "./parts.ts"
import type { Packed, Part } from "./parts.ts"
import type { Reader } from "./varint.ts"

/** Given parts of one buffer that are good until it returns. */
export type Sink = (bytes: Buffer, from: number, to: number) => void

const OUT_BYTES = 128 << 10

/** What a frame makes of the tar, gathered into pieces, summed and counted. */
class Output {
  crc = 0
  length = 0
  readonly #sink: Sink
  readonly #limit: number
  readonly #buffer: Buffer
  #held = 0

  constructor(buffer: Buffer, limit: number, sink: Sink) {
    this.#buffer = buffer
    this.#limit = limit
    this.#sink = sink
  }

  /** Room for up to `length` bytes, to be filled at once. */
  room(length: number): Buffer {
    if (this.#held === this.#buffer.length) this.flush()
    const given = this.#buffer.subarray(this.#held, this.#held + length)
    this.length += given.length
    if (this.length > this.#limit) throw broken("a frame makes more than it says")
    this.#held += given.length
    return given
  }

  write(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      const room = this.room(bytes.length - at)
      bytes.copy(room, 0, at)
      at += room.length
    }
  }

  flush(): void {
    this.crc = crc32(this.#buffer.subarray(0, this.#held), this.crc)
    if (this.#held > 0) this.#sink(this.#buffer, 0, this.#held)
    this.#held = 0
  }
}

/** Buffers that frames use one after the other, so that nothing gathers. */
export class Workspace {
  readonly out = Buffer.allocUnsafeSlow(OUT_BYTES)
  readonly headers = Buffer.allocUnsafeSlow(GROUP_BYTES)
  #dictionary = Buffer.alloc(0)

  dictionary(length: number): Buffer {
    if (this.#dictionary.length < length) this.#dictionary = Buffer.allocUnsafeSlow(length)
    return this.#dictionary.subarray(0, length)
  }
}

/** A part that is unfolded when it is first drawn on, and drawn on in order. */
class Pool {
  readonly #packed: Packed
  readonly #unfold: (packed: Packed) => Buffer
  #plain: Buffer | null = null
  #at = 0

  constructor(packed: Packed, unfold: (packed: Packed) => Buffer) {
    this.#packed = packed
    this.#unfold = unfold
  }

  take(length: number): Buffer {
    this.#plain ??= this.#unfold(this.#packed)
    if (length > this.#plain.length - this.#at) throw broken("a pool is used up")
    this.#at += length
    return this.#plain.subarray(this.#at - length, this.#at)
  }

  get isUsedUp(): boolean {
    return this.#at === this.#packed.length
  }
}

/** One frame being carried out. */
class Run {
  readonly #base: BaseReader
  readonly #columns: Readonly<Record<Column, Reader>>
  readonly #entries: EntryReader
  readonly #pools: Readonly<Record<Exclude<Part, "columns">, Pool>>
  readonly #out: Output
  /** Where the copy before ended. */
  #copied = 0
  readonly #dictionary: Buffer
  /** Where in it the addition before ended. */
  #added = 0

  constructor(body: Buffer, base: BaseReader, out: Output, workspace: Workspace) {
    const parts = partsOf(body)
    this.#base = base
    this.#out = out
    this.#columns = columnsOf(unpack(parts.columns))
    this.#entries = new EntryReader(this.#columns, base)
    const dictionary = gather(this.#columns.dictionary, base, workspace)
    this.#dictionary = dictionary
    this.#pools = {
      pool: new Pool(parts.pool, (packed) => unpack(packed, dictionary)),
      fresh: new Pool(parts.fresh, (packed) => unpack(packed)),
      add: new Pool(parts.add, (packed) => unpack(packed)),
    }
  }

  *items(): Generator<number> {
    const { items, sources, lengths } = this.#columns
    while (items.left > 0) {
      const item = items.byte()
      const before = this.#out.length
      if ((item & RUN) === 0) this.#entry(item)
      else this.#source(SOURCES[item >> 1], lengths.number())
      yield this.#out.length - before
    }
    const unread = Object.values(this.#columns).some(({ left }) => left > 0)
    const undrawn = Object.values(this.#pools).some(({ isUsedUp }) => !isUsedUp)
    if (unread || undrawn || sources.left > 0) throw broken("a frame uses less than it has")
  }

  #entry(item: number): void {
    const { bytes, template, length } = this.#entries.read(item)
    this.#out.write(bytes)
    const told = (item & ENTRY.content) !== 0
    const source = told ? SOURCES[this.#columns.sources.byte()] : undefined
    if (source === "runs") return
    if (told) this.#source(source, length)
    else if (length !== template.group.content) throw broken("content of another length")
    else this.#copy(contentOf(template), length)
    this.#zeros(padded(length) - length)
  }

  #source(source: Source | undefined, length: number): void {
    switch (source) {
      case "zeros": return this.#zeros(length)
      case "copy": return this.#copy(this.#position(length), length)
      case "pool": case "fresh": return this.#out.write(this.#pools[source].take(length))
      case "add": return this.#add(length)
      case "runs": case undefined: throw broken("a source that is not known")
    }
  }

  /** Of a copy: told by its distance from the end of the one before. */
  #position(length: number): number {
    const position = this.#copied + this.#columns.positions.signed()
    this.#copied = position + length
    return position
  }

  #zeros(length: number): void {
    for (let left = length; left > 0;) left -= this.#out.room(left).fill(0).length
  }

  #copy(position: number, length: number): void {
    for (let at = 0; at < length;) {
      const room = this.#out.room(length - at)
      this.#base.fill(position + at, room)
      at += room.length
    }
  }

  /** To bytes of the dictionary, told by their distance from the end of those before. */
  #add(length: number): void {
    let place = this.#added + this.#columns.positions.signed()
    this.#added = place + length
    if (place < 0 || this.#added > this.#dictionary.length) throw broken("an addition to nothing")
    const old = this.#dictionary
    for (let left = length; left > 0;) {
      const room = this.#out.room(left)
      const added = this.#pools.add.take(room.length)
      for (let n = 0; n < room.length; n++) room[n] = added[n]! + old[place++]!
      left -= room.length
    }
  }
}

/**
 * The ranges of the base that a pool refers to, end to end; each is told by its distance from the
 * end of the one before and its length.
 */
const gather = (column: Reader, base: BaseReader, workspace: Workspace): Buffer => {
  const ranges: { readonly position: number, readonly length: number }[] = []
  let [end, total] = [0, 0]
  while (column.left > 0) {
    const position = end + column.signed()
    const length = column.number()
    end = position + length
    total += length
    if (total > DICTIONARY_BYTES) throw broken("a dictionary that is too large")
    ranges.push({ position, length })
  }
  const dictionary = workspace.dictionary(total)
  let at = 0
  for (const { position, length } of ranges) {
    base.fill(position, dictionary.subarray(at, at += length))
  }
  return dictionary
}

/** What a frame made, and of what. */
export interface Made {
  readonly tarBytes: number
  readonly tarCrc: number
  readonly baseCrc: number
}

/**
 * Carries out a frame's body, an item at a time; gives how many bytes of tar each made. Throws
 * `FrameError`, and what the base throws.
 */
export const carrying = function*(
  body: Buffer, tarBytes: number, base: Base, workspace: Workspace, sink: Sink,
): Generator<number, Made> {
  const reader = new BaseReader(base, workspace.headers)
  const out = new Output(workspace.out, tarBytes, sink)
  yield* new Run(body, reader, out, workspace).items()
  out.flush()
  return { tarBytes: out.length, tarCrc: out.crc, baseCrc: reader.crc }
}

/** … all at once. */
const carryOut = (...frame: Parameters<typeof carrying>): Made => {
  const steps = carrying(...frame)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/**
 * Carries out a frame whose own checksum is right, and checks what it used and what it made. So
 * whatever cannot be done is blamed on the base.
 */
export const checked = (
  head: FrameHead, body: Buffer, base: Base, workspace: Workspace, sink: Sink,
): void => {
  const made = attempt(() => carryOut(body, head.tarBytes, base, workspace, sink))
  if (made.baseCrc !== head.baseCrc) {
    throw new FrameError("base", `what is used at ${head.tarStart} of the tar has another checksum`)
  }
  if (made.tarBytes !== head.tarBytes || made.tarCrc !== head.tarCrc) {
    throw broken(`${head.tarStart} of the tar: the result's checksum does not match`)
  }
}

const attempt = (work: () => Made): Made => {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof FrameError) || error.what === "base") throw error
    throw new FrameError("base", error.cause as string)
  }
}
