import * as Effect from "effect/Effect"
import fc from "fast-check"
import { execFileSync } from "node:child_process"
import { createCipheriv, createHash } from "node:crypto"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib"
import * as tar from "tar-stream"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { inspectArchive } from "../../src/layers/archive.ts"
import { barrier } from "../../src/layers/barrier.ts"
import { LayerDamaged } from "../../src/layers/damage.ts"
import { Extraction } from "../../src/layers/extract.ts"
import { LayerTar } from "../../src/layers/rebuild.ts"

/** What was extracted, rebuilt: the two halves of the layer store held against each other. */

let root = ""
let made = 0
const fresh = (name: string) => join(root, `${name}-${made++}`)
beforeAll(() => {
  root = fs.mkdtempSync(join(tmpdir(), "be-roundtrip-"))
})
afterAll(() => fs.rmSync(root, { recursive: true, force: true }))

const digest = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

interface Way {
  /** Where in the blob to make a checkpoint, as shares of its length, ascending. */
  readonly checkpoints: readonly number[]
  /** After each checkpoint: go on, or write a little more and lose it. */
  readonly crash: boolean
  readonly bottom: boolean
  readonly step: number
}
const plainly: Way = { checkpoints: [], crash: false, bottom: false, step: 100_000 }

/** Extracts a blob whose tar has this diff ID into a new directory. */
function extract(blob: Buffer, diffId: string, way: Way = plainly): string {
  const directory = fresh("layer")
  const options = { directory, diffId, bottom: way.bottom, blob: null }
  let extraction = new Extraction({ ...options, checkpoint: null })
  const feed = (until: number) => {
    while (extraction.blobOffset < until && !extraction.stopped) {
      const at = extraction.blobOffset
      extraction.write(blob, at, Math.min(at + way.step, until))
    }
  }
  try {
    for (const share of way.checkpoints) {
      feed(Math.floor(share * blob.length))
      extraction.stopAtBoundary()
      feed(blob.length)
      if (!extraction.stopped) break
      const [state] = barrier([extraction])
      if (!way.crash) continue
      feed(Math.min(blob.length, extraction.blobOffset + 50_000))
      extraction.close()
      extraction = new Extraction({ ...options, checkpoint: state! })
      expect(extraction.resumed).toBe(true)
    }
    feed(blob.length)
    extraction.finish()
  } finally {
    extraction.close()
  }
  return directory
}

function rebuilt(directory: string): Buffer {
  const layer = LayerTar.open(directory)
  try {
    return Buffer.concat([...layer.chunks()])
  } finally {
    layer.close()
  }
}

const same = (blob: Buffer, bytes: Buffer, way?: Way) => {
  const directory = extract(blob, digest(bytes), way)
  expect(rebuilt(directory).equals(bytes)).toBe(true)
  return directory
}

const unprivileged = process.getuid?.() !== 0

describe.skipIf(unprivileged)("layers of real archives", () => {
  const names = [
    "busybox-1.24", "busybox-1.29", "repeated-layers",
  ]
  for (const name of names) {
    it(`come back as their diff IDs: ${name}`, async () => {
      const path = fresh("archive")
      const packed = fs.readFileSync(new URL(`../fixtures/${name}.tar.gz`, import.meta.url))
      fs.writeFileSync(path, gunzipSync(packed))
      const [image] = await Effect.runPromise(inspectArchive(path))
      for (const { diffId, source } of image!.layers) {
        if (source.kind !== "archive") throw new Error("not in an archive")
        const { offset, size } = source
        const blob = fs.readFileSync(path).subarray(offset, offset + size)
        expect(digest(rebuilt(extract(blob, diffId)))).toBe(diffId)
      }
    })
  }
})

/** A tree with all that tars have trouble with. */
function plant(directory: string): void {
  const file = (name: string | Buffer, content: string | Buffer, mode = 0o644) => {
    const path = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(name)])
    fs.writeFileSync(path, content, { mode })
  }
  const deep = `${"d".repeat(90)}/${"e".repeat(90)}/${"f".repeat(90)}`
  fs.mkdirSync(join(directory, deep), { recursive: true })
  fs.mkdirSync(join(directory, "empty"))
  file("a", "small")
  file("nothing", "")
  file("exactly", Buffer.alloc(512, 1))
  file("large", noise(1_500_000, 7), 0o4755)
  file(`${deep}/${"g".repeat(200)}`, "at a long path")
  file(Buffer.from([0x6e, 0xff, 0xfe]), "at a path that is no text")
  file("naïve ☃", "at a path that is not ASCII")
  const sparse = fs.openSync(join(directory, "sparse"), "w")
  for (let n = 0; n < 30; n++) fs.writeSync(sparse, Buffer.alloc(4096, n), 0, 4096, n * 49_152)
  fs.ftruncateSync(sparse, 2_000_000)
  fs.closeSync(sparse)
  const hole = fs.openSync(join(directory, "hole"), "w")
  fs.ftruncateSync(hole, 500_000)
  fs.closeSync(hole)
  fs.linkSync(join(directory, "large"), join(directory, "zz-link"))
  fs.symlinkSync("/absolute/../target", join(directory, "symlink"))
  fs.symlinkSync("t".repeat(300), join(directory, "long-symlink"))
  execFileSync("mkfifo", [join(directory, "fifo")])
  execFileSync("mknod", [join(directory, "device"), "c", "1", "3"])
}

describe.skipIf(unprivileged)("a tar that GNU tar wrote", () => {
  const formats = [
    ["--format=gnu"], ["--format=oldgnu", "-S"], ["--format=pax", "--xattrs", "--numeric-owner"],
    ["--format=pax", "-S", "--sparse-version=0.0"], ["--format=pax", "-S", "--sparse-version=0.1"],
    ["--format=pax", "-S", "--sparse-version=1.0"],
  ]
  for (const options of formats) {
    it(`comes back bit for bit, resumed or not: ${options.join(" ")}`, () => {
      const tree = fresh("tree")
      fs.mkdirSync(tree)
      plant(tree)
      const path = fresh("tar")
      execFileSync("tar", [...options, "-cf", path, "-C", tree, "."])
      // Everything once more, a little changed: every file of it replaces one.
      fs.writeFileSync(join(tree, "a"), "another")
      fs.rmSync(join(tree, "empty"), { recursive: true })
      fs.writeFileSync(join(tree, "empty"), "no directory any more")
      const again = ["./a", "./empty", "./large", "./sparse"]
      execFileSync("tar", [...options, "-rf", path, "-C", tree, ...again])
      const bytes = fs.readFileSync(path)
      const directory = same(bytes, bytes)
      expect(fs.readdirSync(join(directory, "shadow")).length).toBeGreaterThan(0)
      expect(fs.readFileSync(join(directory, "diff/empty"), "utf8")).toBe("no directory any more")
      for (const crash of [false, true]) {
        same(gzipSync(bytes, { level: 1 }), bytes,
          { ...plainly, crash, checkpoints: [0.05, 0.3, 0.31, 0.8], step: 30_000 })
      }
      same(zstdCompressSync(bytes), bytes, { ...plainly, bottom: true })
    })
  }
})

const name = fc.constantFrom("a", "b", "c", "d/", "x".repeat(120), "é", ".wh.a", ".wh..wh..opq")
const entry = fc.record({
  path: fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/")),
  kind: fc.constantFrom("file", "file", "file", "directory", "symlink", "link", "fifo"),
  length: fc.oneof(fc.nat(2000), fc.nat(200_000), fc.constantFrom(0, 512, 1 << 20)),
  seed: fc.nat(255),
  pax: fc.option(fc.constantFrom("mtime", "comment", "SCHILY.xattr.user.k"), { nil: null }),
})

const PACKINGS = [
  (bytes: Buffer) => bytes,
  (bytes: Buffer) => gzipSync(bytes, { level: 1 }),
  (bytes: Buffer) => zstdCompressSync(bytes),
]

/** Bytes that do not compress well, so that blobs have more than one block. */
const noise = (length: number, seed: number): Buffer => {
  const cipher = createCipheriv("aes-128-ctr", Buffer.alloc(16, seed), Buffer.alloc(16))
  return cipher.update(Buffer.alloc(length))
}

/** Writes entries with the library, linking only to files that are there when it is extracted. */
async function write(entries: readonly (typeof entry extends fc.Arbitrary<infer E> ? E : never)[]) {
  const archive = tar.pack()
  for (const [n, { path, kind, length, seed, pax }] of entries.entries()) {
    const base = { name: path, mode: 0o644, mtime: new Date(n * 1000) }
    const header = pax === null ? base : { ...base, pax: { [pax]: pax === "mtime" ? "12.5" : "v" } }
    if (kind === "link") {
      // A file of its own just before, to link to.
      archive.entry({ ...base, name: `target-${n}` }, noise(length, seed))
      archive.entry({ ...header, type: "link", linkname: `target-${n}` })
    } else if (kind === "file") archive.entry(header, noise(length, seed))
    else archive.entry({ ...header, type: kind, linkname: "b" })
  }
  archive.finalize()
  const parts: Uint8Array[] = []
  for await (const part of archive) parts.push(part as Uint8Array)
  return Buffer.concat(parts)
}

describe.skipIf(unprivileged)("a tar of anything", () => {
  it("comes back bit for bit or is refused, resumed or not", { timeout: 60_000 }, async () => {
    let kept = 0
    await fc.assert(fc.asyncProperty(
      fc.array(entry, { maxLength: 20 }), fc.boolean(), fc.boolean(), fc.constantFrom(...PACKINGS),
      fc.array(fc.integer({ min: 0, max: 100 }), { maxLength: 4 }),
      async (entries, bottom, crash, pack, percents) => {
        const bytes = await write(entries)
        const checkpoints = percents.toSorted((a, b) => a - b).map((percent) => percent / 100)
        const way = { bottom, crash, checkpoints, step: 3000 }
        try {
          fs.rmSync(same(pack(bytes), bytes, way), { recursive: true })
          kept++
        } catch (error) {
          // Links through links in a circle, and the like, are for extraction to refuse.
          expect(error).toMatchObject({ _tag: "PullFault" })
          expect((error as { reason: string }).reason).toMatch(/^(damaged|hostile|local)$/)
        }
      }), { numRuns: 80 })
    expect(kept).toBeGreaterThan(10)
  })

  it("is never given out wrong: damage to any file is found", () => {
    const tree = fresh("tree")
    fs.mkdirSync(tree)
    for (let n = 0; n < 30; n++) fs.writeFileSync(join(tree, `${n}`), Buffer.alloc(n * 9000 + 1, n))
    const path = fresh("tar")
    execFileSync("tar", ["-cf", path, "-C", tree, "."])
    execFileSync("tar", ["-rf", path, "-C", tree, "./5", "./6"])
    const bytes = fs.readFileSync(path)
    const directory = same(bytes, bytes)
    const files = ["diff", "shadow"].flatMap((folder) =>
      fs.readdirSync(join(directory, folder)).map((name) => join(directory, folder, name)))
      .filter((file) => fs.lstatSync(file).isFile())
    expect(files.length).toBe(32)
    for (const file of files) {
      const good = fs.readFileSync(file)
      const bad = Buffer.from(good)
      bad[Math.floor(good.length / 3)]! ^= 4
      fs.writeFileSync(file, bad)
      expect(() => rebuilt(directory)).toThrow(LayerDamaged)
      expect(() => rebuilt(directory)).toThrow(file)
      fs.writeFileSync(file, good)
    }
    expect(rebuilt(directory).equals(bytes)).toBe(true)
  })
})
