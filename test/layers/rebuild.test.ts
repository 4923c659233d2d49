import fc from "fast-check"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { dropCache, readAndDrop, readAt, readQuietly, resident } from "../../src/kernel/readers.ts"
import { LayerDamaged } from "../../src/layers/damage.ts"
import { IndexWriter, PIECE, Pieces } from "../../src/layers/index.ts"
import type { Move } from "../../src/layers/index.ts"
import { LayerTar } from "../../src/layers/rebuild.ts"

let root = ""
let made = 0
beforeAll(() => {
  root = fs.mkdtempSync(join(tmpdir(), "be-rebuild-"))
})
afterAll(() => fs.rmSync(root, { recursive: true, force: true }))

/** An entry as extraction would meet it; `segments` are stretches of content with holes before. */
interface Entry {
  readonly header: Buffer
  readonly path: readonly string[]
  readonly kind: "file" | "directory" | "whiteout"
  readonly segments: readonly { readonly hole: number; readonly content: Buffer }[]
  readonly padding: Buffer
  readonly cut: "none" | "before" | "inside"
}

const noise = (length: number, seed: number): Buffer => {
  const block = createHash("sha512").update(`${seed}`).digest()
  return Buffer.alloc(length, block)
}
const share = fc.double({ min: 0, max: 1, noNaN: true })
const bytes = (max: number) => fc.tuple(fc.nat(max), fc.nat()).map(([n, seed]) => noise(n, seed))
const name = fc.constantFrom("a", "b", "c", "long".repeat(40), "\xff\xfe", "é")
const entry: fc.Arbitrary<Entry> = fc.record({
  header: fc.oneof(bytes(1536), fc.constant(noise(512, 1))),
  path: fc.array(name, { minLength: 1, maxLength: 3 }),
  kind: fc.constantFrom("file", "file", "file", "directory", "whiteout"),
  segments: fc.array(fc.record({
    hole: fc.oneof(fc.constant(0), fc.nat(9000)),
    content: fc.oneof(
      { weight: 5, arbitrary: bytes(3000) }, { weight: 1, arbitrary: bytes(3 * PIECE) },
    ),
  }), { maxLength: 3 }),
  padding: bytes(511),
  cut: fc.constantFrom("none", "none", "before", "inside"),
})

/** A small model of extraction: lays the entries out in a new layer and answers its tar. */
function layOut(entries: readonly Entry[]): { directory: string; tar: Buffer } {
  const directory = join(root, `${made++}`)
  fs.mkdirSync(join(directory, "diff"), { recursive: true })
  fs.mkdirSync(join(directory, "shadow"))
  const file = fs.openSync(join(directory, "index"), "w")
  const writer = new IndexWriter((bytes) => fs.writeSync(file, bytes))
  const tar: Buffer[] = []
  const moves: Move[] = []
  const raw = (bytes: Buffer) => {
    tar.push(bytes)
    writer.raw(bytes)
  }
  for (const entry of entries) {
    raw(entry.header)
    if (entry.cut === "before") writer.closeFrame(writer.tarPosition)
    layOutOne(directory, entry, writer, tar, moves)
    raw(entry.padding)
  }
  raw(noise(1024, 0))
  const whole = Buffer.concat(tar)
  const diffId = createHash("sha256").update(whole).digest()
  writer.finish({ moves, tarSize: whole.length, diffId })
  fs.closeSync(file)
  return { directory, tar: whole }
}

const onDisk = (directory: string, parts: readonly string[]) =>
  Buffer.concat([Buffer.from(`${directory}/diff/`), Buffer.from(parts.join("/"), "latin1")])

function layOutOne(
  directory: string, entry: Entry, writer: IndexWriter, tar: Buffer[], moves: Move[],
): void {
  const relative = Buffer.from(entry.path.join("/"), "latin1")
  const replace = (parts: readonly string[]) => {
    moves.push({ entry: writer.nextEntry, path: Buffer.from(parts.join("/"), "latin1") })
    fs.renameSync(onDisk(directory, parts), join(directory, "shadow", `${writer.nextEntry}`))
  }
  for (let depth = 1; depth <= entry.path.length; depth++) {
    const parts = entry.path.slice(0, depth)
    const there = fs.lstatSync(onDisk(directory, parts), { throwIfNoEntry: false })
    const wanted = depth < entry.path.length || entry.kind === "directory"
    if (there !== undefined && !(wanted && there.isDirectory())) replace(parts)
    if (wanted) fs.mkdirSync(onDisk(directory, parts), { recursive: true })
  }
  if (entry.kind !== "file") {
    writer.record({ kind: entry.kind === "directory" ? "none" : "whiteout", path: relative })
    return
  }
  const fd = fs.openSync(onDisk(directory, entry.path), "wx")
  let offset = 0
  let kind: "content" | "continued" = "content"
  const pieces = new Pieces()
  const end = (next: number) => {
    writer.record({ kind, path: relative, ...pieces.end(next) })
    kind = "continued"
  }
  for (const { hole, content } of entry.segments) {
    if (hole > 0) end(offset += hole)
    const middle = entry.cut === "inside" ? content.length >> 1 : 0
    for (const part of [content.subarray(0, middle), content.subarray(middle)]) {
      fs.writeSync(fd, part, 0, part.length, offset)
      pieces.update(part)
      tar.push(part)
      offset += part.length
      if (part.length === middle && middle > 0) {
        end(offset)
        writer.closeFrame(writer.tarPosition)
      }
    }
  }
  end(offset)
  fs.closeSync(fd)
}

const readAll = (tar: LayerTar, length?: number) => Buffer.concat([...tar.chunks(length)])

describe("a rebuilt tar", () => {
  it("is bit for bit what was extracted, read in any chunks", () => {
    fc.assert(fc.property(
      fc.array(entry, { maxLength: 25 }), fc.integer({ min: 1000, max: 2_000_000 }),
      (entries, chunk) => {
        const { directory, tar } = layOut(entries)
        const layer = LayerTar.open(directory)
        expect(layer.size).toBe(tar.length)
        expect(readAll(layer, chunk).equals(tar)).toBe(true)
        expect(layer.diffId).toBe(`sha256:${createHash("sha256").update(tar).digest("hex")}`)
        layer.close()
        fs.rmSync(directory, { recursive: true })
      }), { numRuns: 40 })
  })

  it("reads the same at random as in order", () => {
    fc.assert(fc.property(
      fc.array(entry, { maxLength: 30 }),
      fc.array(fc.tuple(share, fc.nat(70_000)), { maxLength: 60 }),
      (entries, reads) => {
        const { directory, tar } = layOut(entries)
        const layer = LayerTar.open(directory)
        for (const [at, length] of reads) {
          const position = Math.floor(at * tar.length)
          const buffer = Buffer.alloc(length)
          const got = layer.read(position, buffer)
          expect(got).toBe(Math.min(length, tar.length - position))
          const expected = tar.subarray(position, position + got)
          expect(buffer.subarray(0, got).equals(expected)).toBe(true)
        }
        expect(readAll(layer).equals(tar)).toBe(true)
        layer.close()
        fs.rmSync(directory, { recursive: true })
      }), { numRuns: 25 })
  })

  it("finds content under every later move, of the path or of a parent", () => {
    const file = (path: string, content: string): Entry => ({
      header: noise(512, 2), path: path.split("/"), kind: "file", padding: Buffer.alloc(0),
      cut: "none", segments: [{ hole: 0, content: Buffer.from(content) }],
    })
    const { directory, tar } = layOut([
      file("a/b/c", "one"), file("a/b/c", "two"), file("a/b/d", "three"), file("a", "four"),
      file("a/b/c", "five"), file("a/b", "six"), file("a/b", "seven"),
    ])
    expect(fs.readdirSync(join(directory, "shadow")).toSorted()).toEqual(["1", "3", "4", "5", "6"])
    const layer = LayerTar.open(directory)
    expect(readAll(layer).equals(tar)).toBe(true)
    layer.close()
  })
})

const simple = () => layOut([1, 2, 3, 4].map((n) => ({
  header: noise(512, n), path: ["usr", `file${n}`], kind: "file", cut: "none",
  segments: [{ hole: 0, content: noise(n * 700_000, n) }], padding: noise(100, n),
})))

describe("damage to a layer", () => {
  it("is found wherever it is, and named", () => {
    const { directory } = simple()
    fc.assert(fc.property(
      fc.integer({ min: 1, max: 4 }), share, fc.integer({ min: 1, max: 255 }),
      (n, where, change) => {
        const path = join(directory, "diff/usr", `file${n}`)
        const good = fs.readFileSync(path)
        const bad = Buffer.from(good)
        bad[Math.min(Math.floor(where * bad.length), bad.length - 1)]! ^= change
        fs.writeFileSync(path, bad)
        const layer = LayerTar.open(directory)
        const read = () => readAll(layer)
        expect(read).toThrow(LayerDamaged)
        expect(read).toThrow(
          new RegExp(`^layer damaged: ${path}: bytes \\d+ to \\d+ are not those`))
        layer.close()
        fs.writeFileSync(path, good)
      }), { numRuns: 20 })
  })

  const hurt = (what: string, act: (path: string) => void, cause: string | RegExp) =>
    it(`is found: ${what}`, () => {
      const { directory } = simple()
      const path = join(directory, "diff/usr/file1")
      act(path)
      const layer = LayerTar.open(directory)
      expect(() => readAll(layer)).toThrow(LayerDamaged)
      expect(() => readAll(layer)).toThrow(cause)
      expect(() => readAll(layer)).toThrow(path)
      layer.close()
    })
  hurt("a file gone", (path) => fs.rmSync(path), "it is missing")
  hurt("a file cut short", (path) => fs.truncateSync(path, 699_999), "it ends 1 bytes too early")
  hurt("a symlink instead", (path) => {
    fs.renameSync(path, `${path}.real`)
    fs.symlinkSync(`${path}.real`, path)
  }, "a symbolic link is in its place")
  hurt("a directory instead", (path) => {
    fs.rmSync(path)
    fs.mkdirSync(path)
  }, "a directory is in its place")
  hurt("a parent that leads away", (path) => {
    const parent = path.slice(0, path.lastIndexOf("/"))
    fs.renameSync(parent, join(parent, "../../../elsewhere"))
    fs.symlinkSync(join(parent, "../../../elsewhere"), parent)
  }, "a symbolic link is in its place")

  it("is found in the index too", () => {
    const { directory } = simple()
    const path = join(directory, "index")
    const good = fs.readFileSync(path)
    for (let at = 0; at < good.length; at++) {
      const bad = Buffer.from(good)
      bad[at]! ^= 0x40
      fs.writeFileSync(path, bad)
      expect(() => {
        const layer = LayerTar.open(directory)
        try {
          for (const position of [0, layer.size - 1]) layer.read(position, Buffer.alloc(1))
        } finally {
          layer.close()
        }
      }, `byte ${at}`).toThrow(`layer damaged: ${path}: `)
    }
    fs.rmSync(path)
    expect(() => LayerTar.open(directory)).toThrow(`layer damaged: ${path}: it is missing`)
  })

  it("leaves no descriptor open", () => {
    const { directory } = simple()
    const without = simple().directory
    fs.rmSync(join(without, "index"))
    const open = () => fs.readdirSync("/proc/self/fd").length
    const before = open()
    for (let n = 0; n < 3; n++) {
      const layer = LayerTar.open(directory)
      readAll(layer)
      layer.close()
      expect(() => LayerTar.open(without)).toThrow(LayerDamaged)
    }
    expect(open()).toBe(before)
  })
})

describe("small files one after another", () => {
  it("are asked for ahead, and leave the page cache as it was", () => {
    const { directory, tar } = layOut(Array.from({ length: 60 }, (_, n) => ({
      header: noise(512, n), path: [`file${n}`], kind: "file", cut: "none",
      segments: [{ hole: 0, content: noise(5000, n) }], padding: noise(120, n),
    })))
    const fds = Array.from({ length: 60 }, (_, n) => fs.openSync(`${directory}/diff/file${n}`, "r"))
    const cached = () => fds.flatMap((fd, n) => resident(fd, 0, 2)!.includes(true) ? [n] : [])
    for (const fd of fds) {
      fs.fsyncSync(fd)
      dropCache(fd)
    }
    // A file system that cannot drop its pages (tmpfs) has nothing to show here.
    if (cached().length > 0) return
    readAt(fds[30]!, Buffer.alloc(5000), 0)
    const layer = LayerTar.open(directory)
    const half = Buffer.alloc(tar.length / 2)
    for (let at = 0; at < half.length; at += 1000) {
      layer.read(at, half.subarray(at, Math.min(at + 1000, half.length)))
    }
    expect(half.equals(tar.subarray(0, half.length))).toBe(true)
    expect(cached()).toContain(35)
    layer.close()
    expect(cached()).toEqual([30])
    fds.forEach((fd) => fs.closeSync(fd))
  })
})

describe("reading quietly", () => {
  const ways = { "in the kernel": readQuietly, "by mincore": readAndDrop }
  for (const [way, read] of Object.entries(ways)) {
    it(`gives the right bytes, past the end too: ${way}`, () => {
      const path = join(root, `quiet-${made++}`)
      const content = noise(300_001, 5)
      fs.writeFileSync(path, content)
      const fd = fs.openSync(path, "r")
      const ranges = [[0, 300_001], [4095, 2], [8192, 4096], [299_000, 5000], [400_000, 9]]
      for (const [offset = 0, length = 0] of ranges) {
        const buffer = Buffer.alloc(length)
        const expected = content.subarray(offset, offset + length)
        expect(read(fd, buffer, offset)).toBe(expected.length)
        expect(buffer.subarray(0, expected.length).equals(expected)).toBe(true)
      }
      fs.closeSync(fd)
    })

    it(`leaves the page cache as it was: ${way}`, () => {
      const path = join(root, `cache-${made++}`)
      fs.writeFileSync(path, noise(4 * PIECE, 6), { flush: true })
      const fd = fs.openSync(path, "r")
      const pages = 4 * PIECE / 4096
      const cached = () => resident(fd, 0, pages)!.filter(Boolean).length
      dropCache(fd)
      // A file system that cannot drop its pages (tmpfs) has nothing to show here.
      if (cached() === pages) return
      expect(cached()).toBe(0)
      readAt(fd, Buffer.alloc(16 * 4096), 64 * 4096)
      const application = cached()
      expect(application).toBeGreaterThanOrEqual(16)
      for (let at = 0; at < 4 * PIECE; at += 100_000) read(fd, Buffer.alloc(100_000), at)
      expect(cached()).toBeGreaterThanOrEqual(16)
      expect(cached()).toBeLessThanOrEqual(application)
      fs.closeSync(fd)
    })
  }
})
