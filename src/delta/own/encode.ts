import { compressed } from "./compress.ts"
import {
  DICTIONARY_BYTES, FRAME_BYTES, FRAME_HEAD_BYTES, FRAME_TAR_BYTES, frameOf, HEAD_BYTES, MAGIC,
  POOL_BYTES, VERSION,
} from "./format.ts"
import type { Base } from "../base.ts"
import { carryOut, Workspace } from "./frame.ts"
import { padded } from "./group.ts"
import { plan, poolBytes, tarBytes } from "./plan.ts"
import type { Item } from "./plan.ts"
import { Ranges } from "./ranges.ts"
import { listing } from "./scan.ts"
import type { BaseScan } from "./scan.ts"
import { written } from "./written.ts"

/** Tells a layer's tar by an old image: what `DeltaDecoder` takes, frame by frame. */
export const encodeDelta = async function*(scan: BaseScan, target: Base): AsyncGenerator<Buffer> {
  yield deltaHead(scan.base.size)
  const list = await listing(target)
  const waiting: Promise<readonly Buffer[]>[] = []
  let tarStart = 0
  for (const { items, last } of framesOf(plan(scan, target, list))) {
    const frames = framed(scan, target, { items, tarStart, last })
    frames.catch(() => {}) // it is told when its turn comes
    waiting.push(frames)
    tarStart += items.reduce((sum, item) => sum + tarBytes(item), 0)
    if (waiting.length >= 2) yield* await waiting.shift()!
  }
  for (const frames of waiting) yield* await frames
}

const deltaHead = (baseBytes: number): Buffer => {
  const head = Buffer.alloc(HEAD_BYTES)
  MAGIC.copy(head)
  head.writeUInt16LE(VERSION, 6)
  head.writeUIntLE(baseBytes, 8, 6)
  return head
}

/** Items that make one frame. */
interface Plan {
  readonly items: readonly Item[]
  readonly tarStart: number
  readonly last: boolean
}

/** Items of one frame at most. */
const ITEMS = 1 << 16

/** Groups what was planned into frames that keep to the limits, but that of their own length. */
const framesOf = function*(
  items: Iterable<Item>,
): Generator<{ readonly items: readonly Item[], readonly last: boolean }> {
  let [frame, tar, pool] = [[] as Item[], 0, 0]
  let ranges = new Ranges()
  for (const item of items) {
    const full = tar + tarBytes(item) > FRAME_TAR_BYTES || pool + poolBytes(item) > POOL_BYTES
      || frame.length === ITEMS || ranges.lengthWith(item.references) > DICTIONARY_BYTES
    if (full) {
      yield { items: frame, last: false };
      [frame, tar, pool, ranges] = [[], 0, 0, new Ranges()]
    }
    frame.push(item)
    tar += tarBytes(item)
    pool += poolBytes(item)
    ranges.add(item.references)
  }
  yield { items: frame, last: true }
}

/** A frame, or two or more if one would be too long. */
const framed = async (scan: BaseScan, target: Base, frame: Plan): Promise<readonly Buffer[]> => {
  const parts = written(scan, target, frame.items)
  const body = parts === null ? null : await compressed(parts)
  if (body !== null && body.length + FRAME_HEAD_BYTES <= FRAME_BYTES) {
    const tar = frame.items.reduce((sum, item) => sum + tarBytes(item), 0)
    const made = carryOut(body, tar, scan.base, new Workspace(), () => {})
    return [frameOf({ ...made, tarStart: frame.tarStart, last: frame.last }, body)]
  }
  const [first, second] = halves(frame.items)
  const middle = frame.tarStart + first.reduce((sum, item) => sum + tarBytes(item), 0)
  return [
    ...await framed(scan, target, { items: first, tarStart: frame.tarStart, last: false }),
    ...await framed(scan, target, { items: second, tarStart: middle, last: frame.last }),
  ]
}

const halves = (items: readonly Item[]): readonly [readonly Item[], readonly Item[]] => {
  const [only] = items
  if (items.length > 1) {
    const middle = items.length >> 1
    return [items.slice(0, middle), items.slice(middle)]
  }
  if (only === undefined || only.length < 2) throw new Error("delta: a frame that cannot be split")
  const { headers, start, length, position } = only
  if (headers !== null) {
    const padding = padded(length) - length
    return [[{ ...only, source: "runs" }], [
      { ...only, headers: null },
      { ...only, headers: null, source: "zeros", start: start + length, length: padding }]]
  }
  const half = length >> 1
  const rest = { ...only, start: start + half, length: length - half, position: position + half }
  return [[{ ...only, length: half }], [rest]]
}
