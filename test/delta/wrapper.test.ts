import fc from "fast-check"
import { gunzipSync, gzipSync } from "node:zlib"
import { describe, expect, test } from "vitest"
import { Apply } from "../../src/delta/apply.ts"
import { type Base, baseStream } from "../../src/delta/base.ts"
import { EMPTY_LAYER, wrapperHead, wrapperTail } from "../../src/delta/wrapper.ts"
import { digestOf } from "../../src/oci/digest.ts"
import { header } from "../layers/tarballs.ts"
import { imageOf, inMemory, kept, told } from "./fixtures.ts"

const old = imageOf("busybox-1.24")
const target = imageOf("busybox-1.29").layers[0]!
const made = imageOf("busybox-delta").layers[0]!
const BASE = baseStream(old.layers.map(inMemory))

function applied(layer: Buffer, base: Base = BASE): Buffer {
  const out = kept()
  const apply = new Apply(base, out.sink)
  apply.push(layer, 0, layer.length)
  apply.end()
  return out.bytes()
}

const wrapped = (delta: Buffer): Buffer =>
  Buffer.concat([wrapperHead(delta.length), delta, wrapperTail(delta.length)])

describe("what balenaEngine made", () => {
  test("becomes the layer it was made from", () => {
    expect(digestOf(applied(made))).toBe(digestOf(target))
  })

  test("is wrapped as we wrap it", () => {
    const size = Number.parseInt(made.toString("latin1", 124, 135), 8)
    expect(wrapped(made.subarray(512, 512 + size)).equals(made)).toBe(true)
  })

  test("says that a layer is common by an empty one", () => {
    expect(digestOf(EMPTY_LAYER)).toBe(
      "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")
    expect(gunzipSync(gzipSync(EMPTY_LAYER)).equals(EMPTY_LAYER)).toBe(true)
  })

  test("is refused in its words if it is damaged", () => {
    expect(() => applied(imageOf("busybox-delta-bad-magic").layers[0]!))
      .toThrow("Got magic number baaaaaad rather than expected value 72730236")
    expect(() => applied(imageOf("busybox-delta-truncated").layers[0]!)).toThrow("unexpected EOF")
  })

  test("is refused against another base", () => {
    expect(() => applied(made, inMemory(old.layers[0]!.subarray(0, 100_000))))
      .toThrow("another image")
  })
})

describe("a wrapper", () => {
  const delta = Buffer.from("7273023603616263004242", "hex")
  const first = (block: Buffer, content: Buffer = delta) => Buffer.concat([
    block, content, wrapperTail(content.length)])
  const size = delta.length

  test("is read whatever its entry is called, and whatever stands before or behind it", () => {
    const long = Buffer.from("a long name".padEnd(512, "\0"))
    const pax = Buffer.from("18 mtime=12345.67\n".padEnd(512, "\0"))
    const layers = [
      first(header({ path: "else/where", size })),
      first(header({ path: "delta", size, type: "\0" })),
      first(header({ path: "delta", size, mtime: 2 ** 40 })),
      Buffer.concat([header({ path: "@", type: "L", size: 11 }), long, first(wrapperHead(size))]),
      Buffer.concat([header({ path: "@", type: "x", size: 18 }), pax, first(wrapperHead(size))]),
      Buffer.concat([header({ path: "@", type: "g", size: 0 }), first(wrapperHead(size))]),
      Buffer.concat([wrapperHead(size), delta, Buffer.alloc(501), header({ path: "more" })]),
      Buffer.concat([wrapperHead(2 ** 40), delta]),
    ]
    for (const layer of layers) expect(applied(layer).toString()).toBe("abc")
  })

  test("without a delta is refused", () => {
    const none = "unexpected EOF, invalid delta tar archive"
    const wrong = (layer: Buffer) => told(() => applied(layer))
    expect(wrong(Buffer.alloc(0))).toContain(none)
    expect(wrong(EMPTY_LAYER)).toContain(none)
    expect(wrong(wrapperHead(size).subarray(0, 500))).toContain(none)
    expect(wrong(header({ path: "delta", type: "5" }))).toContain(none)
    expect(wrong(first(header({ path: "delta", size: 0 }), Buffer.alloc(0)))).toContain(none)
    const broken = first(wrapperHead(size))
    broken[0] = 0x65
    expect(wrong(broken)).toContain(none)
    expect(wrong(wrapperHead(size))).toContain("unexpected EOF")
    expect(wrong(Buffer.concat([wrapperHead(9), delta.subarray(0, 8)]))).toContain("unexpected EOF")
  })

  test("can be given in any pieces, stopped anywhere, and gone on with by another", () => {
    const steps = fc.tuple(
      fc.integer({ min: 1, max: 300_000 }), fc.integer({ min: 1, max: 300_000 }))
    fc.assert(fc.property(fc.array(steps, { minLength: 1 }), (all) => {
      const out = kept()
      let apply = new Apply(BASE, out.sink)
      for (let [at, n] = [0, 0]; (at < made.length || apply.copying) && n < 500; n++) {
        const [step, most] = all[n % all.length]!
        const before = out.bytes().length
        at += apply.push(made, at, Math.min(made.length, at + step), most)
        expect(out.bytes().length - before).toBeLessThanOrEqual(most)
        apply = new Apply(BASE, out.sink, JSON.parse(JSON.stringify(apply.state())))
        if (n === 499) apply.push(made, at, made.length)
      }
      apply.end()
      expect(out.bytes().equals(target)).toBe(true)
    }), { numRuns: 20 })
  })

  test("that is damaged is an error or another layer, and nothing else", () => {
    fc.assert(fc.property(fc.nat(1023), fc.nat(255), (place, value) => {
      const layer = Buffer.from(made)
      layer[place] = value
      expect(() => told(() => applied(layer))).not.toThrow()
    }))
  })
})
