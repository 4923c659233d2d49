import fc from "fast-check"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { barrier } from "../../src/layers/barrier.ts"
import { decode } from "../../src/layers/checkpoint.ts"
import { Extraction } from "../../src/layers/extract.ts"
import { digestOf, noise, tarball } from "./tarballs.ts"
import type { Made } from "./tarballs.ts"
import { listing } from "../../simulations/checkers/tree.ts"

/**
 * Power cuts, imitated. After a barrier a device may have kept any prefix of what was done to names
 * and attributes since (both file systems write those in order), and of the content written since
 * then anything at all. So: copies of the directory are taken as the extraction goes on; one of
 * them is what the disk shows after the cut, with all content that no barrier covered spoilt.
 */

let root = ""
let made = 0
const fresh = (): string => join(root, String(made++))
beforeAll(() => {
  root = fs.mkdtempSync(join(tmpdir(), "be-resume-"))
})
afterAll(() => fs.rmSync(root, { recursive: true, force: true }))

const copy = (from: string): string => {
  const to = fresh()
  execFileSync("cp", ["-a", from, to])
  return to
}

interface Job {
  readonly blob: Buffer
  readonly tar: Buffer
  /** Offsets in the blob behind which a barrier is made at the first occasion. */
  readonly barriers: readonly number[]
  readonly bottom: boolean
}

const open = (directory: string, { blob, tar, bottom }: Job, checkpoint: Uint8Array | null) =>
  new Extraction({
    directory, diffId: digestOf(tar), bottom, checkpoint,
    blob: { digest: digestOf(blob), size: blob.length },
  })

/** Feeds an extraction to the end, or until `until`; `each` sees every checkpoint. */
function feed(
  extraction: Extraction, { blob, barriers }: Job,
  { until = blob.length, step = 20_000, each = (_: Uint8Array) => {}, moved = () => {} } = {},
): void {
  for (let at = extraction.blobOffset; at < until;) {
    const next = barriers.find((offset) => offset >= at) ?? blob.length
    if (next === at) {
      extraction.stopAtBoundary()
      // A step of one byte: both runs must stop at the same place in zstd, too.
      while (!extraction.stopped && at < blob.length) at += extraction.write(blob, at, at + 1)
      if (!extraction.stopped) break
      each(barrier([extraction])[0]!)
      if (at < blob.length) at += extraction.write(blob, at, at + 1)
    }
    at += extraction.write(blob, at, Math.min(at + step, Math.max(next, at + 1), blob.length))
    moved()
  }
}

/** What an extraction that nothing disturbs makes of it. */
function undisturbed(job: Job): string {
  const directory = fresh()
  const extraction = open(directory, job, null)
  try {
    feed(extraction, job)
    extraction.finish()
  } finally {
    extraction.close()
  }
  return directory
}

/** Spoils all content that differs from what it was at the barrier. */
function spoil(disk: string, atBarrier: string, current: string | null, written: number): void {
  for (const folder of ["diff", "shadow"]) {
    for (const name of namesBelow(join(disk, folder))) {
      const [path, before] = [disk, atBarrier].map((top) =>
        Buffer.from(`${top}/${folder}/${name}`, "latin1")) as [Buffer, Buffer]
      const stat = fs.lstatSync(path)
      if (!stat.isFile() || stat.size === 0) continue
      const { mtimeNs } = fs.lstatSync(path, { bigint: true })
      const same = fs.existsSync(before) && fs.lstatSync(before).isFile() &&
        fs.lstatSync(before, { bigint: true }).mtimeNs === mtimeNs
      if (same) continue
      // Moved to the shadow since: it may still be what the barrier covered.
      if (folder === "shadow" && known(atBarrier, fs.readFileSync(path))) continue
      const from = `${folder}/${name}` === current ? written : 0
      const fd = fs.openSync(path, "r+")
      fs.writeSync(fd, noise(Math.max(0, stat.size - from), made), 0, undefined, from)
      if (made % 3 === 0) fs.ftruncateSync(fd, Math.max(from, stat.size - 100))
      fs.closeSync(fd)
    }
  }
  const index = join(disk, "index")
  fs.appendFileSync(index, noise(made % 2000))
}

const namesBelow = (path: string): readonly string[] =>
  fs.readdirSync(path, { encoding: "latin1", recursive: true })

const known = (atBarrier: string, content: Buffer): boolean =>
  namesBelow(join(atBarrier, "diff")).some((name) => {
    const path = Buffer.from(`${atBarrier}/diff/${name}`, "latin1")
    return fs.lstatSync(path).isFile() && fs.readFileSync(path).equals(content)
  })

/** Cuts the power once, at this share of the blob, and goes on; answers the layer's directory. */
function cut(job: Job, share: number, whichCopy: number): string {
  const directory = fresh()
  const copies: string[] = []
  let state: Uint8Array | null = null
  let atBarrier = ""
  const extraction = open(directory, job, null)
  feed(extraction, job, {
    until: Math.floor(share * job.blob.length), step: 4000,
    each: (checkpoint) => {
      state = checkpoint
      for (const old of copies.splice(0)) fs.rmSync(old, { recursive: true })
      copies.push(copy(directory))
      atBarrier = copies[0]!
    },
    moved: () => {
      if (state !== null && copies.length < 6) copies.push(copy(directory))
    },
  })
  extraction.close()
  let disk = directory
  if (state !== null) {
    copies.push(directory)
    disk = copy(copies[whichCopy % copies.length]!)
    const current = decode(state)?.current ?? null
    spoil(disk, atBarrier, current === null ? null : `diff/${current.path}`, current?.written ?? 0)
  }
  const resumed = open(disk, job, state)
  expect(resumed.resumed).toBe(state !== null)
  try {
    feed(resumed, job)
    resumed.finish()
  } finally {
    resumed.close()
  }
  for (const old of new Set([...copies, directory])) {
    if (old !== disk) fs.rmSync(old, { recursive: true, force: true })
  }
  return disk
}

/** Directories that no entry names, and notes, have the time of their last change. */
const named = (tar: readonly Made[]) => {
  const directories = new Set(tar.filter(({ type }) => type === "5").map(({ path }) => path))
  return (path: string, directory: boolean) =>
    directory ? directories.has(path) : !path.endsWith(".path")
}

function same(job: Job, entries: readonly Made[], disk: string, whole: string): void {
  for (const folder of ["diff", "shadow"]) {
    const times = named(entries)
    expect(listing(join(disk, folder), { times })).toEqual(listing(join(whole, folder), { times }))
  }
  const [index, expected] = [disk, whole].map((top) => fs.readFileSync(join(top, "index")))
  expect(index!.equals(expected!)).toBe(true)
  expect(job.tar.length).toBeGreaterThan(0)
}

const BOTH = ["a", "b", "d", "d/a", "d/b", "d/d", "d/d/a", ".wh.a", "d/.wh.b", "d/.wh..wh..opq"]
const others = fc.integer({ min: 0, max: 99 }).map((n) => `n${n % 9}/${n}`)
const anyEntry: fc.Arbitrary<Made> = fc.record({
  path: fc.oneof(fc.constantFrom(...BOTH), others),
  type: fc.constantFrom("0", "0", "0", "0", "5", "2", "1", "6"),
  mtime: fc.integer({ min: 1, max: 2_000_000_000 }),
  mode: fc.constantFrom(0o644, 0o4755, 0o600),
  uid: fc.nat(9),
  content: fc.tuple(
    fc.oneof(fc.nat(3000), fc.nat(60_000), fc.constantFrom(0, 512, 200_000)), fc.nat(255),
  ).map(([length, seed]) => noise(length, seed)),
}).map(({ content, ...entry }) => {
  if (entry.type === "0") return { ...entry, content }
  return { ...entry, link: "base" }
})

const PACKINGS = [
  (tar: Buffer) => tar,
  (tar: Buffer) => gzipSync(tar, { level: 1 }),
  (tar: Buffer) => gzipSync(tar, { level: 9 }),
  (tar: Buffer) => zstdCompressSync(tar),
  (tar: Buffer) => Buffer.concat([tar.subarray(0, 70_001), tar.subarray(70_001)].map((part) =>
    zstdCompressSync(part))),
]

describe.skipIf(process.getuid?.() !== 0)("an extraction that is resumed", () => {
  test("ends as if nothing had happened, wherever the power went", { timeout: 120_000 }, () => {
    let resumes = 0
    fc.assert(fc.property(
      fc.array(anyEntry, { minLength: 2, maxLength: 25 }), fc.constantFrom(...PACKINGS),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 4 }),
      fc.double({ min: 0.2, max: 1, noNaN: true }), fc.nat(6), fc.boolean(),
      (entries, pack, shares, share, whichCopy, bottom) => {
        const all = [{ path: "base", content: "b" }, ...entries]
        const tar = tarball(...all)
        const blob = pack(tar)
        const barriers = shares.toSorted((a, b) => a - b)
          .map((each) => Math.floor(each * blob.length))
        const job: Job = { blob, tar, barriers, bottom }
        let whole
        try {
          whole = undisturbed(job)
        } catch (error) {
          // A file used as a directory, and the like.
          expect(error).toMatchObject({ _tag: "PullFault", reason: "damaged" })
          return
        }
        const disk = cut(job, share, whichCopy)
        same(job, all, disk, whole)
        resumes++
        for (const done of [whole, disk]) fs.rmSync(done, { recursive: true })
      }), { numRuns: 60 })
    expect(resumes).toBeGreaterThan(5)
  })
})
