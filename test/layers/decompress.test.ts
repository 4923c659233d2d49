import fc from "fast-check"
import { crc32, deflateRawSync, gzipSync, zstdCompressSync } from "node:zlib"
import { describe, expect, test } from "vitest"
import { Sha256 } from "../../src/kernel/digest.ts"
import { decompressor, formatOf } from "../../src/layers/decompress.ts"
import { DecompressError, UnknownCompression } from "../../src/layers/decompressor.ts"
import type { DecompressState } from "../../src/layers/decompressor.ts"
import { digestOf, noise } from "./tarballs.ts"

/**
 * Decompresses in steps. At each stop the state goes into another decompressor, which is given the
 * input from where a resume would fetch it.
 */
function decompress(blob: Buffer, { step = 1000, stops = [] as readonly number[] } = {}) {
  const out: Buffer[] = []
  const sink = (bytes: Buffer, from: number, to: number) =>
    void out.push(Buffer.from(bytes.subarray(from, to)))
  const fresh = (state: DecompressState) => decompressor(state, sink, 4096)
  const left = stops.toSorted((a, b) => a - b)
  let current = fresh({ format: formatOf(blob) })
  let [at, anchor, resumes] = [0, 0, 0]
  try {
    while (at < blob.length) {
      const stop = left[0] !== undefined && at >= left[0]
      if (stop && current.boundary) {
        left.shift()
        const state = current.state()
        current.close()
        current = fresh(structuredClone(state))
        if (current.anchored) at = anchor
        resumes++
        continue
      }
      at += current.push(blob, at, Math.min(at + step, blob.length), stop)
      if (current.atAnchor === true) anchor = at
    }
    current.end()
  } finally {
    current.close()
  }
  return { bytes: Buffer.concat(out), resumes }
}

/** Some of it compresses well, some does not. */
const mixed = (length: number): Buffer => {
  const parts: Buffer[] = []
  for (let n = 0, sum = 0; sum < length; n++) {
    const size = 500 + n * 7919 % 9000
    parts.push(n % 3 === 0 ? Buffer.alloc(size, n) : noise(size, n % 256).fill(65, 0, size >> 1))
    sum += size
  }
  return Buffer.concat(parts).subarray(0, length)
}

const CONTENT = mixed(700_000)

/** A gzip member with every optional part of the header. */
const withHeader = (content: Buffer): Buffer => {
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(crc32(content))
  trailer.writeUInt32LE(content.length, 4)
  return Buffer.concat([
    Buffer.from([0x1f, 0x8b, 8, 0x1e, 1, 2, 3, 4, 0, 3]),
    Buffer.from([5, 0]), Buffer.from("extra"),
    Buffer.from("a name\0a comment\0"), Buffer.from([0xab, 0xcd]),
    deflateRawSync(content), trailer,
  ])
}

const split = (pack: (part: Buffer) => Buffer, ...at: number[]) =>
  Buffer.concat([0, ...at].map((from, n) => pack(CONTENT.subarray(from, at[n] ?? CONTENT.length))))
const sevenths = Array.from({ length: 99 }, (_, n) => 7000 * (n + 1))
const skippable = Buffer.concat([Buffer.from("502a4d1805000000", "hex"), Buffer.from("hello")])

const BLOBS: Readonly<Record<string, Buffer>> = {
  "no compression": CONTENT,
  "gzip -1": gzipSync(CONTENT, { level: 1 }),
  "gzip -9": gzipSync(CONTENT, { level: 9 }),
  "gzip of stored blocks": gzipSync(CONTENT, { level: 0 }),
  "gzip of three members": split((part) => gzipSync(part), 1, 300_000),
  "gzip of empty members": Buffer.concat([gzipSync(""), gzipSync(CONTENT), gzipSync("")]),
  "gzip with all kinds of headers": split(withHeader, 200_000, 200_001),
  "gzip padded with zeros": Buffer.concat([gzipSync(CONTENT), Buffer.alloc(5000)]),
  "zstd": zstdCompressSync(CONTENT),
  "zstd of three frames": split((part) => zstdCompressSync(part), 5, 400_000),
  "zstd of many frames": split((part) => zstdCompressSync(part), ...sevenths),
  "zstd with frames to be skipped":
    Buffer.concat([skippable, zstdCompressSync(CONTENT), skippable]),
}

describe("a blob", () => {
  for (const [kind, blob] of Object.entries(BLOBS)) {
    test(`of ${kind} is decompressed`, () => {
      expect(decompress(blob).bytes.equals(CONTENT)).toBe(true)
      expect(decompress(blob, { step: blob.length }).bytes.equals(CONTENT)).toBe(true)
    })
    test(`of ${kind} can be stopped and gone on with anywhere`, () => {
      let resumes = 0
      fc.assert(fc.property(
        fc.array(fc.nat(blob.length), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 60_000 }),
        (stops, step) => {
          const got = decompress(blob, { step, stops })
          expect(got.bytes.equals(CONTENT)).toBe(true)
          resumes += got.resumes
        }), { numRuns: 8 })
      expect(resumes).toBeGreaterThan(8)
    })
  }

  test("can stop between all single bytes of what is around deflate data", () => {
    const members = [withHeader(Buffer.from("a")), withHeader(noise(10))]
    const blob = Buffer.concat([...members, Buffer.alloc(9)])
    const stops = Array.from({ length: blob.length }, (_, n) => n)
    const expected = Buffer.concat([Buffer.from("a"), noise(10)])
    expect(decompress(blob, { step: 1, stops }).bytes.equals(expected)).toBe(true)
  })

  test("of zeros can be stopped once a block", () => {
    const blob = gzipSync(Buffer.alloc(40 << 20))
    const { bytes, resumes } = decompress(blob, { step: 100, stops: [100, 10_000, 20_000] })
    expect(bytes.equals(Buffer.alloc(40 << 20))).toBe(true)
    expect(resumes).toBe(3)
  })

  test("may be empty where the format allows it", () => {
    for (const blob of [Buffer.alloc(0), gzipSync(""), zstdCompressSync("")]) {
      expect(decompress(blob).bytes).toHaveLength(0)
    }
  })

  const gzip = BLOBS["gzip -1"]!
  const changed = (blob: Buffer, at: number) => {
    const copy = Buffer.from(blob)
    copy[at < 0 ? blob.length + at : at]! ^= 1
    return copy
  }
  const broken: Readonly<Record<string, Buffer>> = {
    "gzip that ends in its header": gzip.subarray(0, 7),
    "gzip that ends in its data": gzip.subarray(0, 50_000),
    "gzip that ends in its trailer": gzip.subarray(0, -3),
    "gzip with another checksum": changed(gzip, -7),
    "gzip with another length": changed(gzip, -2),
    "gzip with junk behind it": Buffer.concat([gzip, Buffer.from("junk")]),
    "gzip with zeros and junk behind it": Buffer.concat([gzip, Buffer.alloc(20), gzip]),
    "gzip of an unknown method": changed(gzip, 2),
    "gzip with unknown flags": Buffer.concat([Buffer.from("1f8b0880", "hex"), gzip]),
    "gzip that is no deflate": Buffer.concat([gzip.subarray(0, 10), Buffer.alloc(500, 0xff)]),
    "zstd that ends in its data": BLOBS["zstd"]!.subarray(0, 50_000),
    "zstd that is changed": changed(BLOBS["zstd"]!, 5),
    "zstd with junk behind it": Buffer.concat([BLOBS["zstd"]!, Buffer.from("junk")]),
  }
  for (const [what, blob] of Object.entries(broken)) {
    test(`is refused: ${what}`, () => {
      expect(() => decompress(blob)).toThrow(DecompressError)
    })
  }

  test("of a kind we do not have is said to be that", () => {
    expect(() => formatOf(Buffer.from("fd377a585a000004", "hex"))).toThrow(UnknownCompression)
    expect(() => formatOf(Buffer.from("BZh91AY"))).toThrow("bzip2")
    expect(formatOf(Buffer.from("etc/passwd"))).toBe("plain")
    expect(formatOf(Buffer.alloc(0))).toBe("plain")
  })

  test("that was truncated or changed anywhere never gives anything else without an error", () => {
    // zstd has a checksum only where its writer asked for one: the blob's digest finds the rest.
    fc.assert(fc.property(fc.nat(gzip.length - 11), (at) => {
      expect(() => decompress(gzip.subarray(0, at + 10))).toThrow(DecompressError)
      try {
        // Some bits mean nothing: those that fill a byte before a stored block.
        const { bytes } = decompress(changed(gzip, at + 10), { step: 50_000 })
        expect(bytes.equals(CONTENT)).toBe(true)
      } catch (error) {
        expect(error).toBeInstanceOf(DecompressError)
      }
    }), { numRuns: 40 })
  })
})

describe("a SHA-256", () => {
  test("is that of everything, whatever its state went through", () => {
    fc.assert(fc.property(fc.array(fc.nat(700)), (lengths) => {
      let hash = new Sha256()
      let end = 0
      for (const length of lengths) {
        hash.update(CONTENT, end, end + length)
        end += length
        const state = hash.state()
        hash.digest()
        expect(hash.state().equals(state)).toBe(true)
        hash = new Sha256(state)
      }
      expect(`sha256:${hash.digest().toString("hex")}`).toBe(digestOf(CONTENT.subarray(0, end)))
    }))
    expect(() => new Sha256(Buffer.alloc(5))).toThrow(RangeError)
  })
})
