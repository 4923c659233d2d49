import { compressed, tried } from "./compress.ts"
import type { Tried } from "./compress.ts"
import {
  DICTIONARY_BYTES, FRAME_BYTES, FRAME_HEAD_BYTES, FRAME_TAR_BYTES, frameOf, HEAD_BYTES, MAGIC,
  POOL_BYTES, VERSION,
} from "./format.ts"
import type { Base } from "../base.ts"
import { carrying, Workspace } from "./frame.ts"
import { padded } from "./group.ts"
import { plan, poolBytes, tarBytes } from "./plan.ts"
import type { Item } from "./plan.ts"
import { Ranges } from "./ranges.ts"
import { ENTRY_BYTES, listing, turns } from "./scan.ts"
import type { BaseScan } from "./scan.ts"
import { written } from "./written.ts"

/**
 * How many bytes of a layer are compressed as well as can be, in some 80 s of one core. What
 * follows is compressed some 20 times as fast, and gets some 10 % longer.
 */
const HARD_BYTES = 56 << 20

/**
 * An old image with more entries takes more than 100 MiB itself, and a frame being compressed with
 * its dictionary up to 350 (measured): two of those would be more than 1 GiB.
 */
const MANY_ENTRIES = 100_000

/**
 * Tells a layer's tar by an old image: what `DeltaDecoder` takes, frame by frame. `tidy` is called
 * once each is planned, to collect what that left before compressing it takes its memory.
 */
export const encodeDelta = async function*(
  scan: BaseScan, target: Base, tidy: () => void = () => {},
): AsyncGenerator<Buffer> {
  yield deltaHead(scan.base.size)
  const list = await listing(target)
  const most = scan.listing.entries.length > MANY_ENTRIES ? 1 : 2
  const waiting: Promise<Buffer>[] = []
  let [tarStart, worked] = [0, 0]
  for await (const { items, last } of framesOf(plan(scan, target, list))) {
    for await (const frame of fitting(scan, target, { items, tarStart, last })) {
      tidy()
      const made = finished(scan, frame, worked < HARD_BYTES)
      made.catch(() => {}) // it is told when its turn comes
      waiting.push(made)
      worked += frame.tried.work
      if (waiting.length >= most) yield await waiting.shift()!
    }
    tarStart += tarOf(items)
  }
  for (const made of waiting) yield await made
}

const tarOf = (items: readonly Item[]): number =>
  items.reduce((sum, item) => sum + tarBytes(item), 0)

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
const framesOf = async function*(
  planned: AsyncIterable<readonly Item[]>,
): AsyncGenerator<{ readonly items: readonly Item[], readonly last: boolean }> {
  let [frame, tar, pool] = [[] as Item[], 0, 0]
  let ranges = new Ranges()
  for await (const items of planned) {
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
  }
  yield { items: frame, last: true }
}

/** A frame that will not be too long. */
interface Fitting extends Plan {
  readonly tried: Tried
}

/**
 * A frame, or two or more if one would be too long. A quick look says so, before anything is done
 * that takes long.
 */
const fitting = async function*(
  scan: BaseScan, target: Base, frame: Plan,
): AsyncGenerator<Fitting> {
  const parts = await written(scan, target, frame.items)
  const look = parts === null ? null : await tried(parts)
  if (look !== null && look.length + FRAME_HEAD_BYTES <= FRAME_BYTES) {
    return yield { ...frame, tried: look }
  }
  const [first, rest] = parted(frame.items, Math.ceil((look?.length ?? 0) / SHARE_BYTES))
  const middle = frame.tarStart + tarOf(first)
  yield* fitting(scan, target, { items: first, tarStart: frame.tarStart, last: false })
  yield* fitting(scan, target, { items: rest, tarStart: middle, last: frame.last })
}

const finished = async (scan: BaseScan, frame: Fitting, hard: boolean): Promise<Buffer> => {
  const body = await compressed(frame.tried, hard)
  const turn = turns()
  const steps = carrying(body, tarOf(frame.items), scan.base, new Workspace(), () => {})
  let step = steps.next()
  for (; step.done !== true; step = steps.next()) await turn(step.value + ENTRY_BYTES)
  return frameOf({ ...step.value, tarStart: frame.tarStart, last: frame.last }, body)
}

/** What a frame that would be too long is cut into, as the quick look has it: some may be more. */
const SHARE_BYTES = FRAME_BYTES * 0.9
/** Of columns, or thereabouts. */
const ITEM_BYTES = 32
/** A shorter item is not cut but goes to one side. */
const CUT_BYTES = 256 << 10

/** Cuts off one of `shares` like shares, at least two. */
const parted = (
  items: readonly Item[], shares: number,
): readonly [first: readonly Item[], rest: readonly Item[]] => {
  const weight = (item: Item): number => poolBytes(item) + ITEM_BYTES
  const total = items.reduce((sum, item) => sum + weight(item), 0)
  let [at, left] = [0, total / Math.max(2, shares)]
  while (at < items.length - 1 && weight(items[at]!) <= left) left -= weight(items[at++]!)
  const across = items[at]
  if (items.length > 1 && poolBytes(across!) < CUT_BYTES) {
    return [items.slice(0, Math.max(1, at)), items.slice(Math.max(1, at))]
  }
  if (across === undefined || across.length < 2) throw new Error("delta: a frame of one byte")
  const [before, behind] = cutAt(across, Math.min(Math.max(1, Math.floor(left)), across.length - 1))
  return [[...items.slice(0, at), ...before], [...behind, ...items.slice(at + 1)]]
}

const cutAt = (
  { headers, ...run }: Item, length: number,
): readonly [before: readonly Item[], behind: readonly Item[]] => {
  const first: Item = { ...run, headers: null, length }
  const rest: Item = {
    ...first, start: run.start + length, length: run.length - length,
    position: run.position + length,
  }
  if (headers === null) return [[first], [rest]]
  const end = run.start + run.length
  const padding = padded(run.length) - run.length
  return [
    [{ ...run, headers, source: "runs" }, first],
    [rest, { ...first, source: "zeros", start: end, length: padding }],
  ]
}
