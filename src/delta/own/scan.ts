import { hash } from "node:crypto"
import type { Base } from "../base.ts"
import { BLOCK, padded, readGroup } from "./group.ts"
import type { Group } from "./group.ts"

/** An entry of a tar that can be read at any place. */
export interface Entry {
  readonly position: number
  readonly group: Group
  /** Where its content begins. */
  readonly content: number
  /** Where the next entry is expected. */
  readonly next: number
  /** Equal for equal contents, and very likely only for those; null: no content. */
  readonly hash: string | null
  /** All is zeros between its content and `next`. */
  readonly isPadded: boolean
}

/** Bytes that no entry has, all of which are zeros or not. */
export interface Stretch {
  readonly position: number
  readonly length: number
}

/** What a tar, or several end to end, has in it, in order. */
export interface Listing {
  readonly entries: readonly Entry[]
  /** What lies between entries. */
  readonly stretches: readonly Stretch[]
}

const WINDOW_BYTES = 1 << 20

/** Reads forward through one window. */
export class Window {
  readonly #base: Base
  readonly #buffer = Buffer.allocUnsafeSlow(WINDOW_BYTES)
  #start = 0
  #end = 0
  constructor(base: Base) {
    this.#base = base
  }

  /** Bytes that are good until the next call; fewer than asked for at the end. */
  peek(position: number, length: number): Buffer {
    const end = Math.min(position + length, this.#base.size)
    if (position < this.#start || end > this.#end) {
      const got = this.#base.read(position, this.#buffer)
      this.#start = position
      this.#end = position + got
    }
    return this.#buffer.subarray(position - this.#start, Math.max(0, end - this.#start))
  }
}

const isZero = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0)

/** Lets others run. */
export const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Opening a file, or looking for a template, takes as long as reading so much. */
export const ENTRY_BYTES = 16 << 10

/** So many bytes are read and summed in some 20 ms. */
const TURN_BYTES = 4 << 20

/** Told how many bytes were worked through; lets others run after some. */
export const turns = (): (bytes: number) => Promise<void> => {
  let worked = 0
  return async (bytes) => {
    worked += bytes
    if (worked < TURN_BYTES) return
    worked = 0
    await breathe()
  }
}

/** Finds a tar's entries; what is none is stepped over in blocks. Reads every byte once. */
export const listing = async (base: Base): Promise<Listing> => {
  const window = new Window(base)
  const entries: Entry[] = []
  const stretches: { position: number, length: number }[] = []
  const turn = turns()
  for (let at = 0, before = 0; at < base.size;) {
    await turn(at - before + ENTRY_BYTES)
    before = at
    const entry = entryAt(base, window, at)
    if (entry !== null) {
      entries.push(entry)
      at = entry.next
      continue
    }
    const length = Math.min(BLOCK, base.size - at)
    const last = stretches.at(-1)
    if (last !== undefined && last.position + last.length === at) last.length += length
    else stretches.push({ position: at, length })
    at += length
  }
  return { entries, stretches }
}

const entryAt = (base: Base, window: Window, position: number): Entry | null => {
  const group = readGroup((at, length) => window.peek(at, length), position)
  if (group === null) return null
  const content = position + group.bytes.length
  const end = content + group.content
  const next = content + padded(group.content)
  if (next > base.size) return null
  return {
    position, group, content, next,
    hash: group.content === 0 ? null : hashOf(window, content, group.content),
    isPadded: isZero(window.peek(end, next - end)),
  }
}

const hashOf = (window: Window, position: number, length: number): string => {
  if (length <= WINDOW_BYTES) return hash("sha256", window.peek(position, length), "base64")
  let sum = ""
  for (let at = 0; at < length; at += WINDOW_BYTES) {
    const bytes = window.peek(position + at, Math.min(WINDOW_BYTES, length - at))
    sum = hash("sha256", Buffer.concat([Buffer.from(sum, "latin1"), bytes]), "base64")
  }
  return sum
}

/** What an old image has, to be used for all layers of the new one. */
export interface BaseScan {
  readonly base: Base
  readonly listing: Listing
  /** Index of the last entry of each path. */
  readonly byPath: ReadonlyMap<string, number>
  /** Index of one entry of each content. */
  readonly byHash: ReadonlyMap<string, number>
  /** Indexes of the files of each last part of a path. */
  readonly byName: ReadonlyMap<string, readonly number[]>
  /** … of each, whatever numbers and hashes are in it. */
  readonly byStem: ReadonlyMap<string, readonly number[]>
  /** … and of each ending, by size. */
  readonly byEnding: ReadonlyMap<string, readonly number[]>
}

export const nameOf = (path: string): string =>
  path.slice(path.lastIndexOf("/", path.length - 2) + 1)

/** A name whose numbers and hashes are as good as any other. */
export const stemOf = (path: string): string => nameOf(path).replace(/[0-9a-f]{6,}|\d+/g, "#")

/** What follows the last dot of a file's name. */
export const endingOf = (path: string): string => {
  const name = nameOf(path)
  const dot = name.lastIndexOf(".")
  return dot <= 0 ? "" : name.slice(dot)
}

const addTo = (map: Map<string, number[]>, key: string, value: number): void => {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}

/** Reads the base once, and remembers what is in it: some 1 KiB an entry. */
export const scanBase = async (base: Base): Promise<BaseScan> => {
  const found = await listing(base)
  const byPath = new Map<string, number>()
  const byHash = new Map<string, number>()
  const byName = new Map<string, number[]>()
  const byStem = new Map<string, number[]>()
  const byEnding = new Map<string, number[]>()
  for (const [index, { group, hash }] of found.entries.entries()) {
    byPath.set(group.path, index)
    addTo(byName, nameOf(group.path), index)
    if (hash === null) continue
    byHash.set(hash, index)
    addTo(byStem, stemOf(group.path), index)
    addTo(byEnding, endingOf(group.path), index)
  }
  for (const list of byEnding.values()) {
    list.sort((a, b) => found.entries[a]!.group.content - found.entries[b]!.group.content)
  }
  return { base, listing: found, byPath, byHash, byName, byStem, byEnding }
}

/** How many candidates of one name are looked at. */
const CANDIDATES = 2000

/** The one whose path has most in common with `path`. */
export const closest = (
  path: string, candidates: readonly number[], entries: readonly Entry[],
): number | undefined => {
  const parts = path.split("/")
  let [best, most] = [undefined as number | undefined, -1]
  for (const index of candidates.slice(-CANDIDATES)) {
    const other = entries[index]!.group.path.split("/")
    let same = 0
    const shorter = Math.min(parts.length, other.length)
    while (same < shorter && parts[same] === other[same]) same++
    for (let n = 1; n <= shorter - same && parts.at(-n) === other.at(-n); n++) same += 1
    if (same > most) [best, most] = [index, same]
  }
  return best
}
