import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { LayerDamaged } from "../../src/layers/damage.ts"
import { IndexReader, IndexWriter, PIECE, Pieces } from "../../src/layers/index.ts"
import type { Frame, IndexRecord, RecordKind } from "../../src/layers/index.ts"
import { Cursor, varintLength, writeVarint } from "../../src/layers/varint.ts"

/** An index "file": append, truncate, read. */
class Memory {
  bytes = Buffer.alloc(0)
  readonly append = (bytes: Buffer) => {
    this.bytes = Buffer.concat([this.bytes, bytes])
  }
  readonly readAt = (buffer: Buffer, offset: number) => this.bytes.copy(buffer, 0, offset)
  open = () => IndexReader.open(this.readAt, this.bytes.length)
}

type Told = { readonly raw: Buffer } | { readonly record: IndexRecord } | { readonly close: true }

const crcs = (contentLength: number) =>
  Array.from({ length: Math.ceil(contentLength / PIECE) }, (_, n) => n * 0x9e3779b1 >>> 0)

const path = fc.oneof(
  fc.constantFrom("usr/lib/a", "usr/lib/ab", "usr/lib/abc/d", "", "etc").map((s) => Buffer.from(s)),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
)
const raw = fc.oneof(
  fc.uint8Array({ maxLength: 1200 }).map((bytes) => Buffer.from(bytes)),
  fc.integer({ min: 1, max: 600_000 }).map((length) => Buffer.alloc(length, "header")),
)
const content = fc.record({
  kind: fc.constantFrom<RecordKind>("content", "continued"), path,
  contentLength: fc.oneof(fc.nat(5000), fc.nat(4 * PIECE), fc.constantFrom(0, PIECE, 2 ** 40)),
  fileOffset: fc.oneof(fc.nat(5000), fc.maxSafeNat()),
}).map((record) => ({ ...record, crcs: crcs(Math.min(record.contentLength, 2 ** 33)) }))
  .map((record) => ({ ...record, contentLength: Math.min(record.contentLength, 2 ** 33) }))
const plain = fc.record({
  kind: fc.constantFrom<RecordKind>("none", "whiteout", "opaque", "unmaterialised"), path,
})
const told: fc.Arbitrary<Told[]> = fc.array(fc.oneof(
  { weight: 4, arbitrary: raw.map((raw) => ({ raw })) },
  { weight: 4, arbitrary: fc.oneof(content, plain).map((record) => ({ record })) },
  { weight: 1, arbitrary: fc.constant({ close: true as const }) },
), { maxLength: 60 }).map((all) => {
  const first = all.findIndex((one) => "record" in one)
  return all.filter((one, n) => n > first || !("record" in one) || one.record.kind !== "continued")
})

/** In one normal form: raw bytes glued together, records with all they were given. */
const normal = (all: readonly Told[]) => {
  const out: (string | object)[] = []
  let bytes: Buffer[] = []
  for (const one of all) {
    if ("raw" in one) bytes.push(one.raw)
    if (!("record" in one)) continue
    out.push(Buffer.concat(bytes).toString("latin1"))
    bytes = []
    const { kind, path, contentLength = 0, fileOffset = 0, crcs = [] } = one.record
    out.push({ kind, path: path.toString("latin1"), contentLength, fileOffset, crcs })
  }
  return [...out, Buffer.concat(bytes).toString("latin1")]
}
const ofFrames = (frames: Iterable<Frame>): Told[] => {
  const all: Told[] = []
  for (const { raw, records } of frames) {
    let at = 0
    for (const record of records) {
      const { kind, path, contentLength, fileOffset, crcs } = record
      const copied = { kind, path: Buffer.from(path), contentLength, fileOffset, crcs }
      all.push({ raw: Buffer.from(raw.subarray(at, record.rawEnd)) }, { record: copied })
      at = record.rawEnd
    }
    all.push({ raw: Buffer.from(raw.subarray(at)) })
  }
  return all
}
const tell = (writer: IndexWriter, all: readonly Told[]) => {
  for (const one of all) {
    if ("raw" in one) writer.raw(one.raw)
    else if ("record" in one) writer.record(one.record)
    else writer.closeFrame(writer.tarPosition)
  }
}
const end = (writer: IndexWriter, entry = -1) => writer.finish({
  moves: entry < 0 ? [] : [{ entry, path: Buffer.from("a/b") }],
  tarSize: writer.tarPosition, diffId: Buffer.alloc(32, 7),
})
const valid = (all: readonly Told[]) => {
  const first = all.find((one) => "record" in one)
  return !(first && "record" in first && first.record.kind === "continued")
}

describe("varint", () => {
  it("reads back every safe integer", () => {
    fc.assert(fc.property(fc.maxSafeNat(), (value) => {
      const buffer = Buffer.alloc(9)
      const length = writeVarint(buffer, value, 0)
      expect(length).toBe(varintLength(value))
      expect(new Cursor(buffer.subarray(0, length)).varint()).toBe(value)
      expect(() => new Cursor(buffer.subarray(0, length - 1)).varint()).toThrow(RangeError)
    }))
  })
  it("refuses what is no safe integer", () => {
    for (const hex of ["ffffffffffffff7f", "ffffffffffffffff01", "8080808080808080808000"]) {
      expect(() => new Cursor(Buffer.from(hex, "hex")).varint()).toThrow(RangeError)
    }
  })
})

describe("tar index", () => {
  it("gives back what was told, in its order, however frames were cut", () => {
    fc.assert(fc.property(told.filter(valid), (all) => {
      const memory = new Memory()
      const writer = new IndexWriter(memory.append)
      tell(writer, all)
      end(writer)
      expect(writer.length).toBe(memory.bytes.length)
      const reader = memory.open()
      expect(normal(ofFrames(reader.frames()))).toEqual(normal(all))
      expect(reader.tarSize).toBe(writer.tarPosition)
      expect(reader.nEntries).toBe(writer.nextEntry)
    }), { numRuns: 60 })
  })

  it("finds the frame of every position, and numbers its entries", () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true })
    fc.assert(fc.property(told.filter(valid), share, (all, at) => {
      const memory = new Memory()
      const writer = new IndexWriter(memory.append)
      tell(writer, all)
      end(writer)
      const reader = memory.open()
      fc.pre(reader.tarSize > 0)
      const position = Math.min(Math.floor(at * reader.tarSize), reader.tarSize - 1)
      const frame = reader.frame(reader.frameAt(position))
      expect(frame.tarStart).toBeLessThanOrEqual(position)
      expect(frame.tarEnd).toBeGreaterThan(position)
      let next = 0
      for (const { records } of reader.frames()) {
        for (const { kind, entry } of records) {
          expect(entry).toBe(kind === "continued" ? next - 1 : next++)
        }
      }
      expect(next).toBe(reader.nEntries)
    }), { numRuns: 40 })
  })

  it("goes on behind a saved length as if nothing had happened", () => {
    fc.assert(fc.property(told.filter(valid), told, told, (before, lost, after) => {
      const memory = new Memory()
      const writer = new IndexWriter(memory.append)
      tell(writer, before)
      const saved = writer.closeFrame(writer.tarPosition)
      if (writer.nextEntry === 0) fc.pre(valid(lost) && valid(after))
      tell(writer, lost)
      memory.bytes = memory.bytes.subarray(0, saved)
      const read: Told[] = []
      const from = IndexReader.saved(memory.readAt, saved, (frame) => {
        read.push(...ofFrames([frame]))
      })
      expect(normal(read)).toEqual(normal(before))
      const second = new IndexWriter(memory.append, from)
      tell(second, after)
      end(second, second.nextEntry - 1)
      const reader = memory.open()
      expect(normal(ofFrames(reader.frames()))).toEqual(normal([...before, ...after]))
      expect(reader.diffId).toEqual(Buffer.alloc(32, 7))
      expect(reader.moves).toEqual(
        second.nextEntry === 0 ? [] : [{ entry: second.nextEntry - 1, path: Buffer.from("a/b") }])
    }), { numRuns: 60 })
  })

  it("finds every damage: a changed byte, a lost end, bytes too many", () => {
    const memory = new Memory()
    const writer = new IndexWriter(memory.append)
    for (let n = 0; n < 40; n++) {
      writer.raw(Buffer.alloc(512, `header of ${n}`))
      writer.record({ kind: "content", path: Buffer.from(`a/${n}`), contentLength: n, fileOffset: 0,
        crcs: crcs(n) })
      if (n % 9 === 0) writer.closeFrame(writer.tarPosition)
    }
    end(writer, 12)
    const good = memory.bytes
    const readAll = () => [...memory.open().frames()]
    expect(readAll().length).toBe(6)
    for (let at = 0; at < good.length; at++) {
      memory.bytes = Buffer.from(good)
      memory.bytes[at]! ^= 1 << at % 8
      expect(readAll, `byte ${at}`).toThrow(LayerDamaged)
      memory.bytes = good.subarray(0, at)
      expect(readAll, `cut at ${at}`).toThrow(LayerDamaged)
    }
    memory.bytes = Buffer.concat([good, Buffer.alloc(1)])
    expect(readAll).toThrow(LayerDamaged)
    memory.bytes = Buffer.from(good.toString("latin1").replace("BTIX\x01", "BTIX\x02"), "latin1")
    expect(readAll).toThrow("index: it has format version 2, not 1")
  })

  it("finds damage in the saved part of an unfinished one", () => {
    const memory = new Memory()
    const writer = new IndexWriter(memory.append)
    for (let n = 0; n < 4; n++) {
      writer.raw(Buffer.alloc(1536, n))
      writer.record({ kind: "none", path: Buffer.from(`${n}`) })
      writer.closeFrame(writer.tarPosition)
    }
    const good = memory.bytes
    for (let at = 0; at < good.length; at++) {
      memory.bytes = Buffer.from(good)
      memory.bytes[at]! ^= 0x10
      expect(() => IndexReader.saved(memory.readAt, good.length), `byte ${at}`)
        .toThrow(LayerDamaged)
    }
    memory.bytes = good
    expect(() => IndexReader.saved(memory.readAt, good.length - 1)).toThrow(LayerDamaged)
    expect(() => IndexReader.saved(memory.readAt, good.length + 1)).toThrow(LayerDamaged)
  })

  it("never meets bytes it cannot refuse", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, header) => {
      const memory = new Memory()
      memory.bytes = Buffer.concat([Buffer.from(header ? "BTIX\x01\0\0\0" : "", "latin1"), bytes])
      expect(memory.open).toThrow(LayerDamaged)
    }))
  })

  it("sums content in pieces of the segment, however it comes", () => {
    fc.assert(fc.property(
      fc.array(fc.nat(2 * PIECE), { maxLength: 4 }), fc.array(fc.nat(2 * PIECE), { maxLength: 4 }),
      (first, second) => {
        const pieces = new Pieces()
        const zeros = Buffer.alloc(2 * PIECE)
        for (const length of first) pieces.update(zeros.subarray(0, length))
        const one = pieces.end()
        for (const length of second) pieces.update(zeros.subarray(0, length))
        const two = pieces.end(99)
        const sum = (lengths: number[]) => lengths.reduce((a, b) => a + b, 0)
        expect([one.contentLength, one.fileOffset]).toEqual([sum(first), 0])
        expect([two.contentLength, two.fileOffset]).toEqual([sum(second), sum(first)])
        expect(pieces.end()).toEqual({ contentLength: 0, fileOffset: 99, crcs: [] })
        for (const { contentLength, crcs } of [one, two]) {
          expect(crcs.length).toBe(Math.ceil(contentLength / PIECE))
          expect(crcs.slice(0, -1).every((crc) => crc === 0xa738ea1c)).toBe(true)
        }
      }), { numRuns: 30 })
  })

  it("refuses a caller that miscounts", () => {
    const writer = new IndexWriter(() => {})
    writer.raw(Buffer.alloc(512))
    expect(() => writer.closeFrame(511)).toThrow("the tar is at 511, but 512 bytes were told")
    const path = Buffer.alloc(0)
    expect(() => writer.record({ kind: "none", path, contentLength: 3 }))
      .toThrow("a none entry with content")
    expect(() => writer.record({ kind: "continued", path })).toThrow("continues nothing")
    expect(() => writer.record({ kind: "content", path, contentLength: 3 }))
      .toThrow("not all CRCs")
  })
})
