import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Anchors } from "../../src/delta/anchors.ts"
import { type Base, baseStream } from "../../src/delta/base.ts"
import { Encoder } from "../../src/delta/encoder.ts"
import { encodeDelta } from "../../src/delta/own/encode.ts"
import { scanBase } from "../../src/delta/own/scan.ts"
import { wrapperHead, wrapperTail } from "../../src/delta/wrapper.ts"
import { barrier } from "../../src/layers/barrier.ts"
import { Extraction } from "../../src/layers/extract.ts"
import { LayerTar } from "../../src/layers/rebuild.ts"
import { digestOf, noise, tarball } from "./tarballs.ts"

const of = (bytes: Buffer): Base => ({
  size: bytes.length,
  read: (position, buffer) => bytes.copy(buffer, 0, position, position + buffer.length),
})

const OLD = noise(3 << 20, 1)
const BASE = baseStream([
  of(tarball({ path: "a", content: noise(100_000, 2) })),
  of(tarball({ path: "big", content: OLD })),
])
const TARGET = tarball(
  { path: "big", content: Buffer.concat([OLD.subarray(0, 2_000_000), OLD.subarray(1_000_000)]) },
  ...Array.from({ length: 40 }, (_, n) => ({ path: `new-${n}`, content: noise(20_000, 3 + n) })),
)

const wrapped = (delta: Buffer): Buffer =>
  Buffer.concat([wrapperHead(delta.length), delta, wrapperTail(delta.length)])

const rsync = (): Buffer => {
  const out: Buffer[] = []
  const anchors = new Anchors(BASE, 64 << 20)
  while (anchors.advance());
  const encoder = new Encoder(anchors, (bytes, start, end) =>
    void out.push(Buffer.from(bytes.subarray(start, end))))
  encoder.push(TARGET)
  encoder.end()
  return Buffer.concat(out)
}

const framed = async (): Promise<Buffer> => {
  const out: Buffer[] = []
  for await (const frame of encodeDelta(await scanBase(BASE), of(TARGET))) out.push(frame)
  return Buffer.concat(out)
}

const PACKINGS = {
  none: (tar: Buffer) => tar,
  gzip: (tar: Buffer) => gzipSync(tar),
  zstd: (tar: Buffer) => zstdCompressSync(tar),
}

describe.skipIf(process.getuid?.() !== 0)("a layer made of a delta", () => {
  let root = ""
  const deltas: Record<string, Buffer> = {}
  beforeAll(async () => {
    root = fs.mkdtempSync(join(tmpdir(), "be-patched-"))
    deltas["rsync"] = rsync()
    deltas["framed"] = await framed()
  })
  afterAll(() => fs.rmSync(root, { recursive: true, force: true }))

  /** Extracts a blob, going on from a checkpoint after each `every` bytes of it. */
  const extractIn = (directory: string, blob: Buffer, every: number): number => {
    let checkpoint: Uint8Array | null = null
    for (let resumes = 0;; resumes++) {
      const extraction: Extraction = new Extraction({
        directory, diffId: digestOf(TARGET), bottom: false, checkpoint, base: BASE,
        blob: { digest: digestOf(blob), size: blob.length },
      })
      try {
        expect(extraction.resumed).toBe(checkpoint !== null)
        const until = Math.min(blob.length, (resumes + 1) * every)
        for (let at = extraction.blobOffset; at < until || extraction.owing;) {
          at += extraction.write(blob, at, Math.min(at + 10_000, Math.max(at, until)))
        }
        if (until === blob.length) {
          extraction.finish()
          return resumes
        }
        extraction.stopAtBoundary()
        for (let at = extraction.blobOffset; !extraction.stopped && at < blob.length;) {
          at += extraction.write(blob, at, at + 1)
        }
        checkpoint = barrier([extraction])[0]!
      } finally {
        extraction.close()
      }
    }
  }

  for (const format of ["rsync", "framed"]) {
    for (const [name, pack] of Object.entries(PACKINGS)) {
      test(`${format}, ${name}: resumed anywhere, and in one go`, () => {
        const blob = pack(wrapped(deltas[format]!))
        for (const every of [blob.length, Math.ceil(blob.length / 7)]) {
          const directory = join(root, `${format}-${name}-${every}`)
          const resumes = extractIn(directory, blob, every)
          expect(resumes).toBe(every === blob.length ? 0 : 6)
          const tar = LayerTar.open(directory)
          expect(Buffer.concat([...tar.chunks()]).equals(TARGET)).toBe(true)
          tar.close()
        }
      })
    }
  }
})
