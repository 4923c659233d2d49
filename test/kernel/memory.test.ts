import { spawnSync } from "node:child_process"
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import koffi from "koffi"
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest"
import { bind } from "../../src/kernel/libc.ts"
import { compileSoundly, pageOut, residentBytes, tidy } from "../../src/kernel/memory.ts"

const MIB = 2 ** 20

let top = ""
beforeAll(() => {
  top = mkdtempSync(join(tmpdir(), "be-memory-"))
})
afterAll(() => rmSync(top, { recursive: true }))

const mmap = bind(
  "void *mmap(void *at, size_t length, int protection, int flags, int fd, long offset)",
)
const [PROT_READ, PROT_WRITE, MAP_PRIVATE] = [1, 2, 2]

/** Maps a file of our own and reads all of it, so that it is in memory. */
const mapped = (name: string, protection: number): bigint => {
  const path = join(top, name)
  writeFileSync(path, Buffer.alloc(4 * MIB, 7), { flush: true })
  const at = mmap(null, 4 * MIB, protection, MAP_PRIVATE, openSync(path, "r"), 0)
  koffi.decode(at, koffi.array("uint8", 4 * MIB))
  return koffi.address(at)
}

/** A field of one mapping of this process, bytes: proc_pid_smaps(5). */
const fieldOf = (name: string, field: string): number => {
  const smaps = readFileSync("/proc/self/smaps", "utf8")
  const from = smaps.slice(smaps.indexOf(join(top, name)))
  return Number(new RegExp(`^${field}:\\s*(\\d+) kB$`, "m").exec(from)![1]) * 1024
}

/** A sum over bytes in a loop of the shape that is not compiled rightly. */
const walk = (bytes: Buffer): number => {
  let at = 0
  let sum = 0
  const number = (width: number) => {
    let value = 0
    for (let n = 0; n < 1 << width; n++) value = value * 256 + bytes[at++]!
    return value
  }
  while (at < bytes.length - 8) {
    const op = bytes[at++]!
    if (op >= 0x80) {
      const [first, second] = [number(op >> 2 & 1), number(op & 1)]
      sum = (sum + first * 3 + second) % 1e9
    } else {
      const length = op < 0x40 ? 1 : number(op & 1)
      at += length & 7
      sum = (sum + length) % 1e9
    }
  }
  return sum
}

describe("memory", () => {
  test("loops are compiled soundly", () => {
    const bytes = Buffer.from(Array.from({ length: 400_000 }, (_, n) => n * 2654435761 >>> 13))
    compileSoundly()
    expect(walk(bytes)).toBe(390_602_741)
  })

  /** V8 hands what it collected back on a thread of its own, which may be late. */
  const swept = (bytes: number): Promise<void> =>
    vi.waitFor(() => {
      tidy()
      expect(process.memoryUsage().arrayBuffers).toBeLessThan(bytes)
    }, { timeout: 600_000 }) // only against hanging

  test("buffers that have grown old are collected once they are garbage", async () => {
    let held: Buffer[] | null = Array.from({ length: 256 }, () => Buffer.alloc(64 * 1024, 1))
    await swept(17 * MIB) // in use, they become old
    for (let turn = 0; turn < 4; turn++) tidy()
    const before = process.memoryUsage().arrayBuffers
    expect(held).toHaveLength(256)
    held = null
    const more = Buffer.alloc(4 * MIB, 1) // worth a look
    await swept(before - 11 * MIB)
    expect(more).toHaveLength(4 * MIB)
  })

  test("what is resident is told by where it comes from", () => {
    const { files } = residentBytes()
    mapped("resident", PROT_READ)
    expect(residentBytes().files).toBeGreaterThanOrEqual(files + 3 * MIB)
    const { anonymous } = residentBytes()
    const filled = Buffer.alloc(16 * MIB, 1)
    expect(residentBytes().anonymous).toBeGreaterThanOrEqual(anonymous + filled.length / 2)
  })

  test("pages of files that nobody changes are let go of, and come back", () => {
    const at = mapped("read", PROT_READ)
    expect(fieldOf("read", "Rss")).toBe(4 * MIB)
    pageOut()
    expect(fieldOf("read", "Rss")).toBe(0)
    expect(koffi.decode(at, MIB, "uint8")).toBe(7)
  })

  test("pages that were changed are kept", () => {
    const at = mapped("changed", PROT_READ | PROT_WRITE)
    koffi.encode(at, MIB, "uint8", 9)
    const before = fieldOf("changed", "Rss")
    pageOut()
    expect(koffi.decode(at, MIB, "uint8")).toBe(9)
    expect(fieldOf("changed", "Rss")).toBe(before)
  })

  test("a process that is to stay small compiles nothing any more", () => {
    const module = join(import.meta.dirname, "../../src/kernel/memory.ts")
    const optimised = (first: string): number => {
      const program = `
        const { staySmall } = await import(${JSON.stringify(module)})
        ${first}
        const hot = (n) => { let sum = 0; for (let i = 0; i < n; i++) sum += i % 7; return sum }
        for (let turn = 0; turn < 2000; turn++) hot(10000)
        console.log(eval("%GetOptimizationStatus(hot)"))`
      const { stdout, stderr } = spawnSync(process.execPath, [
        "--allow-natives-syntax", "--input-type=module", "--eval", program,
      ], { encoding: "utf8" })
      if (stdout === "") throw new Error(stderr)
      return Number(stdout) & OPTIMISED
    }
    expect(optimised("")).toBe(OPTIMISED)
    expect(optimised("staySmall()")).toBe(0)
  })
})

/** The bit of V8's answer that says so (src/runtime/runtime.h, OptimizationStatus). */
const OPTIMISED = 1 << 3
