import * as Result from "effect/Result"
import { describe, expect, test } from "vitest"
import { commonLayers, deltaConfig, deltaImageOf, type DeltaParts } from "../../src/oci/delta.ts"
import { digestOf } from "../../src/oci/digest.ts"
import { type ImageConfig, parseImageConfig } from "../../src/oci/image-config.ts"
import { imageOf } from "../delta/fixtures.ts"

const target = imageOf("busybox-1.29")
const delta = imageOf("busybox-delta")
const baseId = digestOf(imageOf("busybox-1.24").config)

const parts: DeltaParts = {
  created: "2023-03-01T14:11:54.630502645Z",
  baseId,
  targetBytes: target.config,
  format: "rsync",
  diffIds: delta.layers.map(digestOf),
}
const parse = (bytes: Uint8Array): ImageConfig => Result.getOrThrow(parseImageConfig(bytes))
const written = (changed: Partial<DeltaParts> = {}): Buffer =>
  Result.getOrThrow(deltaConfig({ ...parts, ...changed }))

describe("a delta's configuration", () => {
  test("is written as balenaEngine writes it", () => {
    expect(written().toString()).toBe(delta.config.toString())
  })

  test("says what it was made from", () => {
    const image = Result.getOrThrow(deltaImageOf(parse(delta.config)))
    expect(image?.baseId).toBe(baseId)
    expect(image?.targetId).toBe(digestOf(target.config))
    expect(Buffer.from(image!.targetBytes).equals(target.config)).toBe(true)
    expect(image?.target).toEqual(parse(target.config))
  })

  test("is escaped as Go escapes it, and comes back", () => {
    const targetBytes = Buffer.from(
      '{"author":"<a> & b \\u0026 \u2028 ☃","rootfs":{"type":"layers","diff_ids":[]}}')
    const bytes = written({ targetBytes, diffIds: [] })
    expect(bytes.toString()).toContain("\\u003ca\\u003e \\u0026 b \\\\u0026 \\u2028 ☃")
    const image = Result.getOrThrow(deltaImageOf(parse(bytes)))
    expect(Buffer.from(image!.targetBytes).equals(targetBytes)).toBe(true)
  })

  test("cannot carry what is not text", () => {
    const result = deltaConfig({ ...parts, targetBytes: Buffer.from([0x22, 0xff, 0x22]) })
    expect(Result.isFailure(result) && result.failure.cause).toContain("not UTF-8")
  })
})

describe("an image's labels", () => {
  const causeOf = (labels: Record<string, string>, diffIds = parts.diffIds) => {
    const config = parse(delta.config)
    const result = deltaImageOf({ ...config, diffIds, config: { ...config.config, labels } })
    return Result.isFailure(result) ? result.failure.cause : result.success
  }
  const base = { "io.resin.delta.base": baseId }
  const config = { "io.resin.delta.config": target.config.toString() }

  test("make it no delta without a base", () => {
    expect(causeOf({})).toBeNull()
    expect(causeOf(config)).toBeNull()
    expect(Result.getOrThrow(deltaImageOf(parse(target.config)))).toBeNull()
  })

  test("that do not fit are refused", () => {
    expect(causeOf({ "io.resin.delta.base": "busybox", ...config }))
      .toBe('parsing base image "busybox": invalid checksum digest format')
    expect(causeOf(base)).toContain("io.resin.delta.config")
    expect(causeOf({ ...base, "io.resin.delta.config": "{" })).toContain("not JSON")
    expect(causeOf({ ...base, "io.resin.delta.config": "{}" })).toContain("invalid rootfs")
    expect(causeOf({ ...base, ...config }, [])).toBe(
      "layers from manifest don't match image configuration")
  })
})

test("layers are common as long as all below them are", () => {
  expect(commonLayers([], [])).toBe(0)
  expect(commonLayers(["a", "b"], ["a", "b"])).toBe(2)
  expect(commonLayers(["a", "b", "c"], ["a", "x", "c"])).toBe(1)
  expect(commonLayers(["a"], ["a", "b"])).toBe(1)
  expect(commonLayers(["a", "b"], ["a"])).toBe(1)
})
