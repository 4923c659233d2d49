import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { type Base, baseStream } from "../../src/delta/base.ts"
import { CommandWriter, LITERAL_BYTES_MAX } from "../../src/delta/commands.ts"
import { Patch } from "../../src/delta/patch.ts"
import { inMemory, kept, random, told } from "./fixtures.ts"

const BASE = random(100_000, 1)

/** A delta by hand: hexadecimal with spaces, behind the magic number. */
const delta = (commands: string): Buffer =>
  Buffer.from(`72730236 ${commands}`.replaceAll(" ", ""), "hex")

/** Applies a delta in one go. */
function applied(bytes: Buffer, base: Base = inMemory(BASE)): Buffer {
  const out = kept()
  const patch = new Patch(base, out.sink)
  patch.push(bytes, 0, bytes.length)
  patch.end()
  return out.bytes()
}

/** What a delta consists of; literals have content of their own. */
type Command =
  | { readonly literal: Uint8Array }
  | { readonly position: number; readonly length: number }
const literals = fc.uint8Array({ maxLength: 300 }).map((literal): Command => ({ literal }))
const copies = fc.tuple(fc.nat(BASE.length), fc.nat(BASE.length)).map(([position, most]): Command =>
  ({ position, length: Math.min(most, BASE.length - position) }))
const commands = fc.array(fc.oneof(literals, copies), { maxLength: 12 })

const targetOf = (all: readonly Command[]): Buffer => Buffer.concat(all.map((one) =>
  "literal" in one ? one.literal : BASE.subarray(one.position, one.position + one.length)))

function written(all: readonly Command[]): Buffer {
  const out = kept()
  const writer = new CommandWriter(out.sink)
  for (const one of all) {
    if ("literal" in one) writer.literal(Buffer.from(one.literal), 0, one.literal.length)
    else writer.copy(one.position, one.length)
  }
  writer.end()
  return out.bytes()
}

describe("a delta", () => {
  test("is what its commands say", () => {
    expect(applied(delta("00")).length).toBe(0)
    expect(applied(delta("03 616263 00")).toString()).toBe("abc")
    expect(applied(delta(`40 ${"61".repeat(64)} 00`)).length).toBe(64)
    expect(applied(delta("41 02 6162 42 0001 63 43 00000001 64 44 0000000000000001 65 00"))
      .toString()).toBe("abcde")
    expect(applied(delta("41 00 45 00 00 00 ff aa")).length).toBe(0)
  })

  test("copies with every width of position and length", () => {
    for (let opcode = 0x45; opcode <= 0x54; opcode++) {
      const [position, length] = [1 << (opcode - 0x45 >> 2), 1 << (opcode - 0x45 & 3)]
      const number = (value: number, width: number) =>
        value.toString(16).padStart(2 * width, "0")
      const command = opcode.toString(16) + number(77, position) + number(200, length)
      expect(applied(delta(`${command} 00`)).equals(BASE.subarray(77, 277))).toBe(true)
    }
  })

  test("that is none is refused in balenaEngine's words", () => {
    const wrong = (bytes: Buffer) => told(() => applied(bytes))
    expect(wrong(Buffer.from("7273029900", "hex")))
      .toContain("Got magic number 72730299 rather than expected value 72730236")
    expect(wrong(delta("55 00"))).toContain("Bogus command 55")
    expect(wrong(delta("ff"))).toContain("Bogus command ff")
    expect(wrong(delta(""))).toContain("unexpected EOF")
    expect(wrong(delta("41 02 61"))).toContain("unexpected EOF")
    expect(wrong(delta("46 00 01"))).toContain("unexpected EOF")
    expect(wrong(Buffer.from("727302", "hex"))).toContain("EOF")
  })

  test("may not reach beyond its base, nor beyond what can be counted", () => {
    const wrong = (commands: string) => told(() => applied(delta(commands)))
    expect(wrong("4e 000186a0 0001 00"))
      .toContain("a copy of 1 bytes at 100000 of a base of 100000")
    expect(wrong("4e 0001869f 0002 00")).toContain("another image")
    expect(applied(delta("4e 0001869f 0001 00"))).toEqual(BASE.subarray(99_999))
    expect(wrong("51 0020000000000000 01 00")).toContain("2^53")
    expect(wrong("44 ffffffffffffffff")).toContain("2^53")
    expect(wrong("44 0020000000000000")).toContain("2^53")
    expect(wrong("01 61 44 001fffffffffffff")).toContain("a target of more than")
  })

  test("of a base that is shorter than it says is refused", () => {
    const short: Base = { ...inMemory(BASE.subarray(0, 50)), size: 100 }
    expect(() => applied(delta("45 0a 32 00"), short)).toThrow("the base ends at 50, not at 100")
  })

  test("comes back as it was written", () => {
    fc.assert(fc.property(commands, (all) => {
      expect(applied(written(all)).equals(targetOf(all))).toBe(true)
    }))
  })

  test("can be given in any pieces, stopped anywhere, and gone on with by another patch", () => {
    const cut = fc.tuple(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 400, max: 50_000 }))
    const cuts = fc.array(cut, { minLength: 1 })
    fc.assert(fc.property(commands, cuts, (all, steps) => {
      const bytes = written(all)
      const out = kept()
      let patch = new Patch(inMemory(BASE), out.sink)
      for (let [at, n] = [0, 0]; at < bytes.length || patch.copying; n++) {
        const [step, most] = steps[n % steps.length]!
        const before = patch.position
        at += patch.push(bytes, at, Math.min(bytes.length, at + step), most)
        expect(patch.position - before).toBeLessThanOrEqual(most)
        patch = new Patch(inMemory(BASE), out.sink, JSON.parse(JSON.stringify(patch.state())))
      }
      patch.end()
      expect(out.bytes().equals(targetOf(all))).toBe(true)
      expect(patch.position).toBe(out.bytes().length)
    }))
  })

  test("that is damaged is an error or another target, and nothing else", () => {
    fc.assert(fc.property(commands, fc.nat(), fc.nat(255), (all, place, value) => {
      const bytes = written(all)
      bytes[place % bytes.length] = value
      expect(() => told(() => applied(bytes))).not.toThrow()
    }))
  })
})

describe("commands", () => {
  const hex = (all: readonly Command[]) => written(all).toString("hex")

  test("have the smallest widths", () => {
    const copy = (position: number, length: number) => [{ position, length }]
    expect(hex([])).toBe("7273023600")
    expect(hex(copy(0xff, 0xff))).toBe("7273023645ffff00")
    expect(hex(copy(0x100, 0xffff))).toBe("727302364a0100ffff00")
    expect(hex(copy(0xffff, 0x10000))).toBe("727302364bffff0001000000")
    expect(hex(copy(0x10000, 1))).toBe("727302364d000100000100")
    expect(hex(copy(2 ** 32, 2 ** 40))).toBe("72730236540000000100000000000001000000000000")
    expect(hex([{ literal: Buffer.from("a") }])).toBe("72730236016100")
    expect(hex([{ literal: Buffer.alloc(64) }])).toMatch(/^7273023640(00){65}$/)
    expect(hex([{ literal: Buffer.alloc(65) }])).toMatch(/^727302364141(00){66}$/)
    expect(hex([{ literal: Buffer.alloc(256) }])).toMatch(/^72730236420100(00){257}$/)
  })

  test("that continue one another are one", () => {
    const copy = (position: number, length: number) => ({ position, length })
    expect(hex([copy(1, 2), copy(3, 4), copy(8, 1)]))
      .toBe("7273023645010645080100")
  })

  test("have literals of at most 16 MiB", () => {
    const literal = Buffer.alloc(LITERAL_BYTES_MAX + 5)
    const bytes = written([{ literal }])
    expect(bytes.subarray(4, 9).toString("hex")).toBe("4301000000")
    expect(bytes.subarray(9 + LITERAL_BYTES_MAX).toString("hex")).toBe("05000000000000")
  })
})

describe("the base stream", () => {
  test("is its layers end to end", () => {
    const parts = fc.array(fc.uint8Array({ maxLength: 20 }).map((part) => Buffer.from(part)))
    fc.assert(fc.property(parts, fc.nat(120), fc.nat(120), (all, position, length) => {
      const whole = Buffer.concat(all)
      const stream = baseStream(all.map(inMemory))
      const buffer = Buffer.alloc(length)
      const got = stream.read(position, buffer)
      expect(stream.size).toBe(whole.length)
      expect(buffer.subarray(0, got)).toEqual(whole.subarray(position, position + length))
    }))
  })
})
