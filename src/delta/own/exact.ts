import { crc32 } from "node:zlib"
import type { Base } from "../base.ts"
import { turns } from "./scan.ts"

/** Bytes at a place. */
export interface Range {
  readonly position: number
  readonly length: number
}

/** A part of the new: zeros, a copy of the old from `old` on, or neither. */
export interface Part extends Range {
  readonly old: number | "zeros" | null
}

/** Chunks are 1 to 64 KiB, 4 on average; their borders follow from the 32 bytes before. */
const SHORTEST = 1 << 10
const LONGEST = 64 << 10
const BORDER = 0xfff00000
/** A shorter copy is left to what compresses better. */
const COPY_BYTES = 64 << 10
const WINDOW_BYTES = 1 << 20

/** Any numbers that look nothing like each other (Knuth's multiplicative hash of 1 to 256). */
const GEAR = Uint32Array.from({ length: 256 }, (_, n) => {
  const mixed = Math.imul(n + 1, 0x9e3779b1)
  return Math.imul(mixed ^ mixed >>> 15, 0x85ebca6b)
})

/** Length of the first chunk of these bytes. */
const cut = (bytes: Buffer): number => {
  const most = Math.min(bytes.length, LONGEST)
  let hash = 0
  for (let at = 0; at < most; at++) {
    hash = (hash << 1) + GEAR[bytes[at]!]! | 0
    if (at >= SHORTEST && (hash & BORDER) === 0) return at + 1
  }
  return most
}

interface Chunk extends Range {
  readonly key: number
  readonly bytes: Buffer
}

/** Chunks in order; their bytes are good until the next one. */
const chunksOf = function*(base: Base, { position, length }: Range): Generator<Chunk> {
  const window = Buffer.allocUnsafeSlow(Math.min(WINDOW_BYTES, length))
  let [at, end, start] = [position, position, position]
  while (at < position + length) {
    if (end - at < LONGEST && end < position + length) {
      window.copy(window, 0, at - start, end - start)
      const held = end - at
      const wanted = Math.min(window.length - held, position + length - end)
      start = at
      end += base.read(end, window.subarray(held, held + wanted))
    }
    const left = window.subarray(at - start, end - start)
    const bytes = left.subarray(0, cut(left))
    if (bytes.length === 0) throw new Error(`delta: what is to be read ends at ${at}`)
    yield { position: at, length: bytes.length, bytes, key: crc32(bytes) * LONGEST + bytes.length }
    at += bytes.length
  }
}

const isZero = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0)

/** Where chunks of the old stand. */
export type Places = ReadonlyMap<number, number>

/** Takes some 100 bytes of memory for every 4 KiB. */
export const placesOf = async (base: Base, ranges: readonly Range[]): Promise<Places> => {
  const places = new Map<number, number>()
  const turn = turns()
  for (const range of ranges) {
    for (const { key, position, length } of chunksOf(base, range)) {
      places.set(key, position)
      await turn(length)
    }
  }
  return places
}

/** Finds the parts of a run that stand in the old as they are, wherever, and its zeros. */
export const exact = async (
  base: Base, places: Places, target: Base, run: Range,
): Promise<readonly Part[]> => {
  const parts: Part[] = []
  const buffer = Buffer.allocUnsafeSlow(Math.min(LONGEST, run.length))
  const turn = turns()
  for (const { position, length, bytes, key } of chunksOf(target, run)) {
    const place = places.get(key)
    const isThere = place !== undefined
      && base.read(place, buffer.subarray(0, length)) === length
      && bytes.equals(buffer.subarray(0, length))
    const old = bytes[0] === 0 && isZero(bytes) ? "zeros" : isThere ? place : null
    add(parts, { position, length, old })
    await turn(length)
  }
  return merged(parts.map((part) =>
    typeof part.old === "number" && part.length < COPY_BYTES ? { ...part, old: null } : part))
}

const merged = (parts: readonly Part[]): readonly Part[] => {
  const all: Part[] = []
  for (const part of parts) add(all, part)
  return all
}

/** Appends a part, as more of the last if it goes on with it. */
const add = (parts: Part[], part: Part): void => {
  const last = parts.at(-1)
  const goesOn = last !== undefined && (typeof last.old === "number"
    ? last.old + last.length === part.old : last.old === part.old)
  if (goesOn) parts[parts.length - 1] = { ...last, length: last.length + part.length }
  else parts.push(part)
}
