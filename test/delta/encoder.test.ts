import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { Anchors, planOf } from "../../src/delta/anchors.ts"
import { type Base, baseStream } from "../../src/delta/base.ts"
import { Encoder } from "../../src/delta/encoder.ts"
import { Patch } from "../../src/delta/patch.ts"
import { Windows } from "../../src/delta/windows.ts"
import { imageOf, inMemory, kept, random } from "./fixtures.ts"

const MEMORY = 16 << 20

function indexed(base: Base, memory = MEMORY): Anchors {
  const index = new Anchors(base, memory)
  while (index.advance());
  return index
}

/** Makes a delta and checks that it makes the target. */
function encoded(base: Base, target: Buffer, index = indexed(base), step = target.length) {
  const delta = kept()
  const encoder = new Encoder(index, delta.sink)
  for (let at = 0; at < target.length; at += step) {
    encoder.push(target, at, Math.min(target.length, at + step))
  }
  const sums = encoder.end()
  const out = kept()
  const patch = new Patch(base, out.sink)
  patch.push(delta.bytes(), 0, delta.bytes().length)
  patch.end()
  expect(out.bytes().equals(target)).toBe(true)
  expect(sums.copied + sums.literal).toBe(target.length)
  return { ...sums, delta: delta.bytes() }
}

const BASE = random(3_000_000, 1)

describe("a delta", () => {
  test("of what is the same is one copy", () => {
    const { delta } = encoded(inMemory(BASE), BASE)
    expect(delta.toString("hex")).toBe("727302364700002dc6c000")
  })

  test("of what is new is one literal", () => {
    const { copied } = encoded(inMemory(BASE), random(1_000_000, 2))
    expect(copied).toBe(0)
  })

  test("finds what was moved by any number of bytes, over any number of layers", () => {
    const part = (from: number, to: number) => BASE.subarray(from, to)
    const layers = [part(0, 1_000_001), part(1_000_001, 2_100_000), part(2_100_000, 3_000_000)]
    const target = Buffer.concat([
      part(2_000_003, 2_500_000), random(1001, 3), part(7, 900_000), Buffer.from("x"),
      part(950_000, 1_100_000), part(2_500_000, 2_500_400),
    ])
    const { literal } = encoded(baseStream(layers.map(inMemory)), target)
    expect(literal).toBe(1002)
  })

  test("goes on behind a few changed bytes, as in the headers of a tar", () => {
    const target = Buffer.from(BASE)
    for (let at = 5000; at < target.length; at += 5000) target.fill(0x7e, at, at + 20)
    const { literal, delta } = encoded(inMemory(BASE), target)
    expect(literal).toBeLessThanOrEqual(599 * 20)
    expect(delta.length).toBeLessThan(literal + 599 * 10 + 20)
  })

  test("does not mistake zeros for content", () => {
    const base = Buffer.concat([Buffer.alloc(100_000), random(100_000, 4), Buffer.alloc(5000)])
    const target = Buffer.concat([random(50_000, 5), Buffer.alloc(70_000), random(5000, 6)])
    const { delta } = encoded(inMemory(base), target)
    expect(delta.length).toBeLessThan(target.length + 20)
  })

  test("is the same however the target comes", () => {
    const target =
      Buffer.concat([BASE.subarray(900_000), random(3000, 7), BASE.subarray(0, 800_000)])
    const index = indexed(inMemory(BASE))
    const whole = encoded(inMemory(BASE), target, index)
    for (const step of [1009, 4096, 1 << 20]) {
      expect(encoded(inMemory(BASE), target, index, step).delta.equals(whole.delta)).toBe(true)
    }
  })

  test("of a longer target than is kept at once", () => {
    const target = Buffer.concat([random(18 << 20, 8), BASE])
    const { literal, delta } = encoded(inMemory(BASE), target, undefined, 1 << 20)
    expect(literal).toBe(18 << 20)
    expect(delta.length).toBeLessThan((18 << 20) + 50)
  })

  test("is right whatever base and target are", () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.tuple(fc.nat(9000), fc.nat(9000)).map(([a, b]) =>
        BASE.subarray(Math.min(a, b), Math.max(a, b))),
      fc.tuple(fc.nat(2000), fc.nat(3)).map(([length, byte]) => Buffer.alloc(length, byte)),
      fc.tuple(fc.nat(2000), fc.nat(3)).map(([length, seed]) => Buffer.alloc(length, `ab${seed}`)),
    )
    const whole = fc.array(piece, { maxLength: 8 }).map((parts) => Buffer.concat(parts))
    fc.assert(fc.property(whole, whole, fc.integer({ min: 1, max: 5000 }), (base, target, step) => {
      encoded(inMemory(base), target, undefined, step)
    }))
  })

  test("of a real image is smaller than balenaEngine's", () => {
    const base = baseStream(imageOf("busybox-1.24").layers.map(inMemory))
    const target = imageOf("busybox-1.29").layers[0]!
    const { delta } = encoded(base, target)
    expect(delta.length).toBeLessThan(0.8 * 1_340_186)
  })
})

describe("memory", () => {
  test("is divided between table and windows, and kept within", () => {
    for (const base of [0, 1, 1 << 20, 700 << 20, 3 * 2 ** 30, 5 * 2 ** 40]) {
      for (const memory of [1 << 20, 64 << 20, 512 << 20]) {
        const { slotBits, windowBytes, rarity } = planOf(base, memory)
        expect(8 * 2 ** slotBits).toBeLessThanOrEqual(memory / 2)
        expect(8 * 2 ** slotBits + windowBytes).toBe(memory)
        if (slotBits > 10) expect(base / 2 ** rarity).toBeLessThan(0.75 * 2 ** slotBits)
      }
    }
    expect(planOf(300 << 20, 512 << 20)).toEqual(
      { rarity: 4, slotBits: 25, windowBytes: 256 << 20 })
  })

  test("that holds all of a base has each byte read once", () => {
    let read = 0
    const counted: Base = {
      size: BASE.length,
      read: (position, buffer) => {
        read += buffer.length
        return inMemory(BASE).read(position, buffer)
      },
    }
    const index = indexed(counted)
    encoded(inMemory(BASE), BASE, index)
    encoded(inMemory(BASE), Buffer.from(BASE).reverse(), index)
    expect(read).toBe(BASE.length)
  })

  test("that holds little of it gives the same", () => {
    const base = random(9_000_000, 10)
    const parts = Array.from({ length: 9 }, (_, n) => base.subarray(n * 1_000_000).subarray(0, 1e6))
    const target = Buffer.concat(parts.toReversed())
    const { literal } = encoded(inMemory(base), target, indexed(inMemory(base), 4 << 20))
    expect(literal).toBe(0)
  })

  test("of windows has what the base has", () => {
    const base = random(9_000_000, 11)
    const windows = new Windows(inMemory(base), 3 << 20)
    fc.assert(fc.property(fc.nat(9_000_000), fc.nat(4_000_000), (position, length) => {
      const bytes = base.subarray(position, position + length)
      expect(windows.same(position, bytes, 0, bytes.length)).toBe(bytes.length)
      const end = position + bytes.length
      expect(windows.sameBefore(end, bytes, bytes.length, 0)).toBe(bytes.length)
    }))
  })

  test("does not take a base that is shorter than it says", () => {
    const short: Base = { ...inMemory(BASE), size: BASE.length + 1 }
    expect(() => indexed(short)).toThrow("the base ends at 3000000, not at 3000001")
  })
})
