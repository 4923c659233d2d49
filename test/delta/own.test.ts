import fc from "fast-check"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { gunzipSync } from "node:zlib"
import { beforeAll, describe, expect, it } from "vitest"
import { DeltaDecoder } from "../../src/delta/own/decode.ts"
import type { DeltaState } from "../../src/delta/own/decode.ts"
import { approximate } from "../../src/delta/own/approximate.ts"
import { compressed, tried } from "../../src/delta/own/compress.ts"
import { encodeDelta } from "../../src/delta/own/encode.ts"
import { columnsOf, partsOf, unpack } from "../../src/delta/own/parts.ts"
import { type Base, DeltaError } from "../../src/delta/base.ts"
import { FRAME_BYTES, FRAME_HEAD_BYTES, HEAD_BYTES } from "../../src/delta/own/format.ts"
import { scanBase } from "../../src/delta/own/scan.ts"
import type { Written } from "../../src/delta/own/written.ts"
import { header, padded, pax, summed } from "../layers/tarballs.ts"

const baseOf = (bytes: Buffer): Base => ({
  size: bytes.length,
  read: (position, buffer) => bytes.copy(buffer, 0, position, position + buffer.length),
})

/** Bytes that nothing compresses. */
const noise = (length: number, seed: number): Buffer => {
  const blocks = Array.from({ length: Math.ceil(length / 64) }, (_, n) =>
    createHash("sha512").update(`${seed} ${n}`).digest())
  return Buffer.concat(blocks).subarray(0, length)
}

const framesOf = async (old: Buffer, tar: Buffer): Promise<readonly Buffer[]> => {
  const scan = await scanBase(baseOf(old))
  return Array.fromAsync(encodeDelta(scan, baseOf(tar)))
}

/** What a decoder makes of a delta that comes in pieces; from `state` on. */
const decoded = (
  old: Buffer,
  delta: Buffer,
  { pieces = [delta.length], state = undefined as DeltaState | undefined } = {},
): Buffer => {
  const made: Buffer[] = []
  const decoder = new DeltaDecoder(baseOf(old), (bytes, from, to) => {
    made.push(Buffer.from(bytes.subarray(from, to)))
  }, state)
  let turn = 0
  for (let at = 0; at < delta.length;) {
    const to = Math.min(delta.length, at + pieces[turn++ % pieces.length]!)
    while (at < to) at += decoder.push(delta, at, to)
  }
  decoder.end()
  return Buffer.concat(made)
}

const roundTrip = async (old: Buffer, tar: Buffer): Promise<Buffer> => {
  const frames = await framesOf(old, tar)
  for (const frame of frames) expect(frame.length).toBeLessThanOrEqual(FRAME_BYTES)
  const delta = Buffer.concat(frames)
  expect(decoded(old, delta).equals(tar)).toBe(true)
  return delta
}

const END = Buffer.alloc(1024)
interface File { readonly path: string, readonly content: Buffer, readonly mtime?: number }
const entryOf = ({ path, content, mtime = 1 }: File): Buffer => {
  const own = path.length > 100
    ? Buffer.concat([pax({ path }), header({ path: path.slice(0, 100), content, mtime })])
    : header({ path, content, mtime })
  return Buffer.concat([own, padded(content)])
}
const tarOf = (...files: readonly File[]): Buffer => Buffer.concat([...files.map(entryOf), END])
const text = (seed: number, lines = 200): Buffer =>
  Buffer.from(Array.from(
    { length: lines }, (_, n) => `line ${n * seed % 7919} of ${seed}\n`,
  ).join(""))

/** Trees whose files come from one stock, so that they stay, move, change, appear and go. */
const content = fc.oneof(
  fc.nat(5).map((seed) => noise(3000 * seed, seed)),
  fc.tuple(fc.nat(5), fc.nat(400)).map(([seed, lines]) => text(seed + 3, lines)),
  fc.nat(70_000).map((length) => Buffer.alloc(length)),
  fc.tuple(fc.nat(3), fc.array(fc.nat(49_999), { maxLength: 9 })).map(([seed, places]) => {
    const bytes = noise(50_000, seed).fill(0, 100, 200)
    for (const place of places) bytes[place] = bytes[place]! ^ 0x55
    return bytes
  }),
)
const name = fc.constantFrom(
  "a", "lib-1.2.so", "lib-1.3.so", "index.js", "é".repeat(30), "long".repeat(20),
)
const file = fc.record({
  path: fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/")),
  content, mtime: fc.nat(3).map((n) => n * 1000),
})
const part = fc.oneof(
  { weight: 12, arbitrary: file.map(entryOf) },
  { weight: 1, arbitrary: file.map((made) => header({ ...made, type: "5", content: "" })) },
  { weight: 1, arbitrary: file.map(({ path }) => header({ path: "l", type: "2", link: path })) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes)) },
  { weight: 1, arbitrary: fc.constant(END) },
)
const tar = fc.array(part, { maxLength: 30 }).map((parts) => Buffer.concat([...parts, END]))
/** The new one keeps parts of the old, in any order. */
const pair = fc.tuple(tar, tar, fc.array(part, { maxLength: 8 }), fc.boolean())
  .chain(([lower, upper, fresh, shuffles]) => {
    const blocks = Array.from({ length: Math.ceil(lower.length / 512) }, (_, n) =>
      lower.subarray(n * 512, n * 512 + 512))
    const kept = shuffles ? fc.shuffledSubarray(blocks) : fc.constant([lower])
    return kept.map((parts) => ({
      old: Buffer.concat([lower, upper]), tar: Buffer.concat([...fresh, ...parts]),
    }))
  })

describe("a layer told by an old image", () => {
  it("is rebuilt bit for bit, whatever it is and whatever the old one was", async () => {
    await fc.assert(fc.asyncProperty(pair, async ({ old, tar }) => {
      await roundTrip(old, tar)
    }), { numRuns: 60 })
  })

  it("is rebuilt of pieces of any length", async () => {
    const old = tarOf({ path: "a", content: text(3) })
    const tar = tarOf({ path: "b", content: text(5) })
    const delta = Buffer.concat(await framesOf(old, tar))
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1 }), (pieces) => {
      expect(decoded(old, delta, { pieces }).equals(tar)).toBe(true)
    }), { numRuns: 30 })
  })

  it("costs nothing but its frame when it is the old one", async () => {
    const files = Array.from(
      { length: 500 }, (_, n) => ({ path: `dir/${n}`, content: noise(n, n) }),
    )
    const tar = tarOf(...files)
    expect((await roundTrip(Buffer.concat([tarOf(), tar]), tar)).length).toBeLessThan(150)
  })

  it("is short when a directory was renamed and every time is another", async () => {
    const files = Array.from({ length: 500 }, (_, n) => n).map((n) => (
      { path: `opt/app-1.9.0/lib/${n}/index.js`, content: noise(100 + n, n), mtime: 1000 + n % 3 }))
    const renamed = files.map((made) => (
      { ...made, path: made.path.replace("1.9.0", "1.10.0"), mtime: made.mtime + 500_000 }))
    expect((await roundTrip(tarOf(...files), tarOf(...renamed))).length).toBeLessThan(300)
  })

  it("is short when a program's addresses have moved", async () => {
    const program = noise(300_000, 1).fill(0, 0, 64)
    const moved = Buffer.from(program)
    for (let at = 200; at < moved.length; at += 40) moved[at] = moved[at]! + 3
    const delta = await roundTrip(
      tarOf({ path: "bin/app", content: program }), tarOf({ path: "bin/app", content: moved }))
    expect(delta.length).toBeLessThan(1000)
  })

  it("tells names too long for a header as Go does", async () => {
    const deep = (version: string) => `opt/${version}/${"directory/".repeat(12)}file`
    const go = (path: string) => {
      const block = header({ path: path.slice(path.lastIndexOf("/") + 1), content: "x" })
      block.write(path.slice(0, path.lastIndexOf("/")), 345, "latin1")
      return Buffer.concat([summed(block), padded("x"), END])
    }
    expect((await roundTrip(go(deep("1.9")), go(deep("1.10")))).length).toBeLessThan(150)
  })

  it("is short where a long file is mostly zeros, or was moved within itself", async () => {
    const [one, two] = [noise(1 << 20, 1), noise(1 << 20, 2)]
    const old = tarOf({ path: "disk.img", content: Buffer.concat([one, two]) })
    const tar = tarOf({
      path: "disk.img", content: Buffer.concat([two, Buffer.alloc(40 << 20), text(3), one]),
    })
    expect((await roundTrip(old, tar)).length).toBeLessThan(200_000)
  })

  it("is cut into frames that fit where nothing compresses", async () => {
    const delta = await roundTrip(tarOf(), tarOf({ path: "a", content: noise(5 << 20, 3) }))
    expect(delta.length).toBeLessThan((5 << 20) + 10_000)
  })

  it("is stored where it is new and nothing compresses, whatever it is compared with", async () => {
    const files = (seed: number) => Array.from({ length: 12 }, (_, n) => (
      { path: `${n}.jpg`, content: noise(50_000 + 10_000 * n, seed + n) }))
    const [old, long] = [files(1), { path: "a.bin", content: noise(5 << 20, 200) }]
    const next = [...files(100), { path: "a.bin", content: noise(5 << 20, 300) }]
    const tar = tarOf(...next)
    const frames = await framesOf(tarOf(...old, long), tar)
    const content = next.reduce((sum, made) => sum + made.content.length, 0)
    const delta = Buffer.concat(frames)
    expect(delta.length).toBeLessThan(content + 5000)
    expect(decoded(tarOf(...old, long), delta).equals(tar)).toBe(true)
    expect(frames.length).toBeLessThan(2 + content / (2 << 20))
    for (const frame of frames.slice(1)) {
      const { fresh, pool, columns } = partsOf(frame.subarray(FRAME_HEAD_BYTES))
      expect([fresh.codec, pool.codec]).toEqual(["stored", "stored"])
      const references = columnsOf(unpack(columns)).dictionary
      expect(references.left).toBe(0)
    }
  })

  it("costs nothing where it is the old one whose checksums another program wrote", async () => {
    const entries = Array.from({ length: 50 }, (_, n) => {
      const block = header({ path: `${n * 7919 % 1000}`, content: "x", mtime: n * 104_729 })
      block.write(`0${block.toString("latin1", 148, 154)}\0`, 148, "latin1")
      return Buffer.concat([block, padded("x")])
    })
    const tar = Buffer.concat([...entries, END])
    expect((await roundTrip(Buffer.concat([tarOf(), tar]), tar)).length).toBeLessThan(150)
  })

  it("fails as the reading of its target does, whichever frame that hits", async () => {
    const bytes = tarOf({ path: "a", content: Buffer.alloc(12 << 20, text(3)) })
    const unheard: unknown[] = []
    const hear = (error: unknown): number => unheard.push(error)
    const target: Base = {
      size: bytes.length,
      read: (position, buffer) => {
        // Of the second frame, and only once it is being made.
        if (buffer.length > 1 << 20 && position > 4096) throw new Error("nothing can be read")
        return baseOf(bytes).read(position, buffer)
      },
    }
    process.on("unhandledRejection", hear)
    const frames = encodeDelta(await scanBase(baseOf(END)), target)
    await expect(Array.fromAsync(frames)).rejects.toThrow("nothing can be read")
    await new Promise((resolve) => setImmediate(resolve))
    process.off("unhandledRejection", hear)
    expect(unheard).toEqual([])
  })

  it("is what busybox became", async () => {
    const unpacked = (version: string) =>
      gunzipSync(fs.readFileSync(new URL(`../fixtures/busybox-${version}.tar.gz`, import.meta.url)))
    const [old, tar] = [unpacked("1.24"), unpacked("1.29")]
    expect((await roundTrip(old, tar)).length).toBeLessThan(0.55 * old.length)
  })
})

describe("a decode", () => {
  const files = Array.from({ length: 5 }, (_, n) => ({ path: `${n}`, content: noise(90_000, n) }))
  const old = tarOf(...files, { path: "text", content: text(3) })
  const tar = tarOf(...files, { path: "new", content: noise(5 << 20, 9) },
    { path: "text", content: Buffer.concat([text(3), text(4)]) })
  let frames: readonly Buffer[] = []
  beforeAll(async () => {
    frames = await framesOf(old, tar)
  })

  it("goes on at any frame with the state it had there", async () => {
    expect(frames.length).toBeGreaterThan(2)
    const made: Buffer[] = []
    const decoder = new DeltaDecoder(baseOf(old), (bytes, from, to) => {
      made.push(Buffer.from(bytes.subarray(from, to)))
    })
    for (const [n, frame] of frames.entries()) {
      let at = 0
      while (at < frame.length) at += decoder.push(frame, at, frame.length)
      const state = JSON.parse(JSON.stringify(decoder.state())) as DeltaState
      const rest = decoded(old, Buffer.concat(frames.slice(n + 1)), { state })
      expect(Buffer.concat([...made, rest]).equals(tar)).toBe(true)
    }
    expect(decoder.push(Buffer.alloc(0), 0, 0, true)).toBe(0)
  })

  it("stops where it is asked to, between two frames only", async () => {
    const delta = Buffer.concat(frames)
    const decoder = new DeltaDecoder(baseOf(old), () => {})
    expect(decoder.push(delta, 0, delta.length, true)).toBe(0)
    expect(decoder.push(delta, 0, delta.length)).toBe(HEAD_BYTES)
    expect(decoder.push(delta, HEAD_BYTES, HEAD_BYTES + 9)).toBe(9)
    expect(decoder.atAnchor).toBe(false)
    expect(decoder.push(delta, HEAD_BYTES + 9, delta.length, true)).toBeGreaterThan(0)
    expect(decoder.atAnchor).toBe(true)
  })

  /** Whole it must be, or a `DeltaError`; never something else. */
  const refused = (base: Buffer, delta: Buffer): DeltaError => {
    let error: unknown = null
    try {
      decoded(base, delta)
    } catch (caught) {
      error = caught
    }
    expect(error).toBeInstanceOf(DeltaError)
    return error as DeltaError
  }

  it("finds flipped bits, ends that come too early, frames out of place", async () => {
    const small = tarOf({ path: "a", content: text(3) }, { path: "b", content: noise(5000, 1) })
    const next = tarOf({ path: "a", content: text(4) })
    const delta = Buffer.concat(await framesOf(small, next))
    fc.assert(fc.property(fc.nat(delta.length - 1), fc.nat(7), (at, bit) => {
      const flipped = Buffer.from(delta)
      flipped[at] = flipped[at]! ^ 1 << bit
      refused(small, flipped)
    }), { numRuns: 300 })
    for (let length = 0; length < delta.length; length++) refused(small, delta.subarray(0, length))
    refused(small, Buffer.concat([delta, delta.subarray(HEAD_BYTES)]))
    fc.assert(fc.property(fc.shuffledSubarray(frames.slice(1)), (parts) => {
      fc.pre(parts.length < frames.length - 1 || parts.some((part, n) => part !== frames[n + 1]))
      expect(refused(old, Buffer.concat([frames[0]!, ...parts])).what).toBe("delta")
    }), { numRuns: 30 })
  })

  it("finds a base that is not what it was, where it is used", async () => {
    const base = tarOf({ path: "x/a", content: text(3) }, { path: "x/b", content: noise(9000, 1) })
    const next = tarOf({ path: "y/a", content: text(4) }, { path: "y/b", content: noise(9000, 1) })
    const delta = Buffer.concat(await framesOf(base, next))
    fc.assert(fc.property(fc.nat(base.length - 1), fc.nat(7), (at, bit) => {
      const flipped = Buffer.from(base)
      flipped[at] = flipped[at]! ^ 1 << bit
      try {
        expect(decoded(flipped, delta).equals(next)).toBe(true)
      } catch (error) {
        expect((error as DeltaError).what).toBe("base")
      }
    }), { numRuns: 300 })
    expect(refused(base.subarray(512), delta).what).toBe("base")
  })

  it("takes no frame for what it says without bounds, even with a right checksum", async () => {
    const delta = Buffer.concat(await framesOf(tarOf({ path: "a", content: text(3) }), tarOf()))
    const { crc32 } = await import("node:zlib")
    const base = tarOf({ path: "a", content: text(3) })
    fc.assert(fc.property(
      fc.uint8Array({ maxLength: 300 }), fc.nat(33 << 20), (bytes, tarBytes) => {
        const head = delta.subarray(HEAD_BYTES, HEAD_BYTES + FRAME_HEAD_BYTES)
        const frame = Buffer.concat([head, bytes])
        frame.writeUInt32LE(bytes.length, 4)
        frame.writeUInt32LE(tarBytes, 16)
        frame.writeUInt32LE(crc32(frame.subarray(4)), 0)
        refused(base, Buffer.concat([delta.subarray(0, HEAD_BYTES), frame]))
      }), { numRuns: 500 })
  })
})

describe("a frame's parts", () => {
  const partsOfPool = (pool: Buffer, dictionary: Buffer = Buffer.alloc(0)): Written => ({
    pool, dictionary, columns: Buffer.alloc(0), fresh: Buffer.alloc(0), add: Buffer.alloc(0),
  })

  it("are nothing to work on where a quick look finds noise", async () => {
    expect((await tried(partsOfPool(noise(1 << 20, 1)))).work).toBe(0)
    expect((await tried(partsOfPool(noise(1 << 20, 1), noise(1 << 20, 2)))).work).toBe(0)
    expect((await tried(partsOfPool(text(3), text(5)))).work)
      .toBe(text(3).length + text(5).length / 2)
  })

  it("are found to be like what stands far back in a dictionary", async () => {
    const old = noise(6 << 20, 1)
    expect((await tried(partsOfPool(old.subarray(4096, 1 << 20), old))).length).toBeLessThan(1000)
  })

  it("get no longer than the quick look said", async () => {
    const any = fc.uint8Array({ maxLength: 300 }).map((made) => Buffer.from(made))
    const bytes = fc.oneof(content, any)
    await fc.assert(fc.asyncProperty(bytes, bytes, fc.boolean(), async (pool, old, hard) => {
      const look = await tried({ ...partsOfPool(pool, old), fresh: pool, add: old, columns: old })
      expect((await compressed(look, hard)).length).toBeLessThanOrEqual(look.length)
    }), { numRuns: 50 })
  })

  it("are compared with the old while others have their turns", async () => {
    const old = noise(2 << 20, 1)
    const bytes = Buffer.concat([noise(1 << 20, 2), old.subarray(100, 1 << 20)])
    let turns = 0
    let isDone = false
    const turn = (): void => {
      turns++
      if (!isDone) setImmediate(turn)
    }
    setImmediate(turn)
    await approximate(old, bytes)
    isDone = true
    expect(turns).toBeGreaterThan(20)
  })
})
