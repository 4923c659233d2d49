import { constants, gunzipSync, gzipSync } from "node:zlib"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { Anchors } from "../../src/delta/anchors.ts"
import { baseStream } from "../../src/delta/base.ts"
import { Encoder } from "../../src/delta/encoder.ts"
import { CODE_LENGTH_MAX, codeLengths } from "../../src/delta/squeeze/huffman.ts"
import { SEGMENT_BYTES, WINDOW_BYTES } from "../../src/delta/squeeze/matches.ts"
import { squeezed } from "../../src/delta/squeeze/squeeze.ts"
import { imageOf, inMemory, kept, random } from "./fixtures.ts"

/** Squeezes bytes that come in pieces of `step`, and checks that they come back. */
function small(bytes: Buffer, step = Math.max(1, bytes.length)): Buffer {
  function* pieces(): Generator<Buffer> {
    for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step)
  }
  const packed = Buffer.concat([...squeezed(pieces())])
  expect(gunzipSync(packed).equals(bytes)).toBe(true)
  return packed
}

const zlibs = (bytes: Buffer): number =>
  gzipSync(bytes, { level: constants.Z_BEST_COMPRESSION }).length

describe("what is squeezed", () => {
  test("comes back, whatever it is", () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.tuple(fc.nat(600), fc.nat(3)).map(([length, byte]) => Buffer.alloc(length, byte)),
      fc.tuple(fc.nat(2000), fc.nat(3)).map(([length, seed]) => Buffer.alloc(length, `ab${seed}`)),
      fc.tuple(fc.nat(40_000), fc.nat(2)).map(([length, seed]) => random(length, seed)),
    )
    const whole = fc.array(piece, { maxLength: 12 }).map((parts) => Buffer.concat(parts))
    fc.assert(fc.property(whole, fc.integer({ min: 1, max: 50_000 }), (bytes, step) => {
      expect(small(bytes, step).equals(small(bytes))).toBe(true)
    }), { numRuns: 40 })
  })

  test("comes back where a segment ends with it, and just before and behind", () => {
    for (const length of [0, 1, 2, 3, 4]) small(Buffer.alloc(length, "a"))
    for (const more of [-4, -1, 0, 1, 4]) {
      small(random(SEGMENT_BYTES + more, 1))
      small(Buffer.alloc(2 * SEGMENT_BYTES + more))
    }
  })

  test("is not longer than what nothing can be made of", () => {
    const bytes = random(1_000_000, 2)
    expect(small(bytes).length).toBeLessThan(1.002 * bytes.length)
  })

  test("refers back as far as may be, over the end of a segment, and no farther", () => {
    const part = random(1000, 3)
    const apart = (distance: number, before: number) => {
      const gap = random(distance - part.length, 4)
      return small(Buffer.concat([random(before, 5), part, gap, part])).length - before - distance
    }
    for (const before of [0, SEGMENT_BYTES - 20_000, SEGMENT_BYTES - 500]) {
      expect(apart(WINDOW_BYTES - 1, before)).toBeLessThan(300)
      expect(apart(WINDOW_BYTES + 1, before)).toBeGreaterThan(900)
    }
  })

  test("has codes of its own where what follows is of another kind", () => {
    const low = Buffer.from(random(60_000, 6).map((byte) => byte % 64))
    const high = Buffer.from(random(60_000, 7).map((byte) => 128 + byte % 64))
    const apart = small(low).length + small(high).length
    expect(small(Buffer.concat([low, high])).length).toBeLessThan(1.01 * apart)
  })

  test("is smaller than zlib's smallest, for a delta of real images", () => {
    const base = baseStream(imageOf("busybox-1.24").layers.map(inMemory))
    const index = new Anchors(base, 16 << 20)
    while (index.advance());
    const delta = kept()
    const encoder = new Encoder(index, delta.sink)
    encoder.push(imageOf("busybox-1.29").layers[0]!)
    encoder.end()
    expect(small(delta.bytes()).length).toBeLessThan(0.965 * zlibs(delta.bytes()))
  })
})

describe("codes", () => {
  test("are complete and not too long, and shorter for what comes more often", () => {
    const counts = fc.array(fc.oneof(fc.nat(3), fc.nat(1e6)), { minLength: 19, maxLength: 286 })
    fc.assert(fc.property(counts, fc.constantFrom(9, CODE_LENGTH_MAX), (all, most) => {
      const lengths = codeLengths(Uint32Array.from(all), most)
      const room = lengths.reduce((sum, length) => sum + (length === 0 ? 0 : 2 ** -length), 0)
      expect(room).toBe(1)
      expect(Math.max(...lengths)).toBeLessThanOrEqual(most)
      for (const [n, count] of all.entries()) {
        if (count > 0) expect(lengths[n]).toBeGreaterThan(0)
      }
    }))
  })

  test("of counts that grow like Fibonacci's would be too long", () => {
    const counts = new Uint32Array(30).fill(1)
    for (let n = 2; n < counts.length; n++) counts[n] = counts[n - 1]! + counts[n - 2]!
    expect(Math.max(...codeLengths(counts, 29))).toBe(29)
    const lengths = codeLengths(counts, CODE_LENGTH_MAX)
    expect(lengths.reduce((sum, length) => sum + 2 ** -length, 0)).toBe(1)
    expect(lengths.at(-1)).toBe(1)
    expect([...lengths]).toEqual([...lengths].toSorted((one, other) => other - one))
  })
})
