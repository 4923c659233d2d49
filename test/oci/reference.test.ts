import fc from "fast-check"
import * as Result from "effect/Result"
import { describe, expect, test } from "vitest"
import { digestFault, digestOf, isDigest, parseDigest } from "../../src/oci/digest.ts"
import {
  familiarReference,
  formatReference,
  parseImageName,
  parseReference,
  referenceOf,
  withDefaultTag,
  type Reference,
} from "../../src/oci/reference.ts"

const SHA = `sha256:${"0123456789abcdef".repeat(4)}`
const parse = (text: string) => Result.getOrThrow(parseReference(text))
const faultOf = (text: string) => {
  const parsed = parseReference(text)
  return Result.isFailure(parsed) ? parsed.failure.cause : formatReference(parsed.success)
}

describe("references read as Docker reads them", () => {
  test.each([
    ["busybox", "docker.io/library/busybox", "busybox"],
    ["busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"],
    ["index.docker.io/busybox", "docker.io/library/busybox", "busybox"],
    ["docker.io/busybox", "docker.io/library/busybox", "busybox"],
    ["docker.io/library/busybox", "docker.io/library/busybox", "busybox"],
    ["user/app", "docker.io/user/app", "user/app"],
    ["library/a/b", "docker.io/library/a/b", "library/a/b"],
    ["localhost/app", "localhost/app", "localhost/app"],
    ["local/app", "docker.io/local/app", "local/app"],
    ["host:5000/a/b:tag", "host:5000/a/b:tag", "host:5000/a/b:tag"],
    ["Registry/app", "Registry/app", "Registry/app"],
    ["127.0.0.1:5000/app", "127.0.0.1:5000/app", "127.0.0.1:5000/app"],
    ["[2001:db8::1]:5000/app", "[2001:db8::1]:5000/app", "[2001:db8::1]:5000/app"],
    [`a@${SHA}`, `docker.io/library/a@${SHA}`, `a@${SHA}`],
    [`h.io/a_b__c.d---e:T_1.2-x@${SHA}`, `h.io/a_b__c.d---e:T_1.2-x@${SHA}`,
      `h.io/a_b__c.d---e:T_1.2-x@${SHA}`],
  ])("%s", (text, canonical, familiar) => {
    expect(formatReference(parse(text))).toBe(canonical)
    expect(familiarReference(parse(text))).toBe(familiar)
  })

  const lower = "invalid reference format: repository name must be lowercase"
  const format = "invalid reference format"
  test.each([
    ["", format],
    [":tag", format],
    ["a:", format],
    ["a:b:c", format],
    ["a//b", format],
    ["-a", format],
    ["a_-b", format],
    ["a/", format],
    ["http://host/a", format],
    ["a b", format],
    ["a\n", format],
    [`a:${"t".repeat(129)}`, format],
    ["a@sha256:abc", format],
    ["BusyBox", lower],
    ["user/App:x", lower],
    [`a@sha256:${"a".repeat(63)}`, "invalid checksum digest length"],
    [`a@sha256:${"A".repeat(64)}`, "invalid checksum digest format"],
    [`a@md5:${"a".repeat(32)}`, "unsupported digest algorithm"],
    ["0123456789abcdef".repeat(4), `invalid repository name (${"0123456789abcdef".repeat(4)}), `
      + "cannot specify 64-byte hexadecimal strings"],
    [`h.io/${"a/".repeat(126)}a`, "repository name must not be more than 255 characters"],
  ])("%j is refused", (text, cause) => expect(faultOf(text)).toBe(cause))
})

const component = fc.stringMatching(/^[a-z0-9]{1,6}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}$/)
const references: fc.Arbitrary<Reference> = fc.record({
  domain: fc.constantFrom("docker.io", "localhost", "h:1", "registry.example.com", "Host", "[::1]"),
  path: fc.array(component, { minLength: 2, maxLength: 4 }).map((parts) => parts.join("/")),
  tag: fc.option(fc.stringMatching(/^\w[\w.-]{0,20}$/)),
  digest: fc.option(fc.string().map((text) => digestOf(text))),
})

test("a formatted reference reads back as itself, in either form", () => {
  fc.assert(fc.property(references, (reference) => {
    expect(parse(formatReference(reference))).toEqual(reference)
    expect(parse(familiarReference(reference))).toEqual(reference)
  }))
})

test("whatever the text, it is a reference that reads back, or a fault", () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^[a-zA-Z0-9:/@._-]{0,40}$/))
  fc.assert(fc.property(text, (text) => {
    const parsed = parseReference(text)
    if (Result.isSuccess(parsed)) {
      expect(parse(formatReference(parsed.success))).toEqual(parsed.success)
      expect(parse(familiarReference(parsed.success))).toEqual(parsed.success)
    } else expect(parsed.failure.cause).not.toBe("")
  }))
})

test("a pull's tag may be a digest", () => {
  const canonical = (image: string, tag: string) =>
    Result.match(referenceOf(image, tag), {
      onSuccess: (reference) => formatReference(withDefaultTag(reference)),
      onFailure: (fault) => fault.cause,
    })
  expect(canonical("busybox", "1.36")).toBe("docker.io/library/busybox:1.36")
  expect(canonical("busybox:", "")).toBe("docker.io/library/busybox:latest")
  expect(canonical("busybox:1", "2")).toBe("docker.io/library/busybox:2")
  expect(canonical("busybox", SHA)).toBe(`docker.io/library/busybox@${SHA}`)
  expect(canonical("busybox", "a/b")).toBe("invalid tag format")
  expect(canonical("Busy", "1")).toContain("must be lowercase")
})

test("an image is named by its ID, a prefix of it, or a reference", () => {
  const read = (text: string) => Result.getOrThrow(parseImageName(text))
  expect(read(SHA)).toMatchObject({ id: SHA, reference: null })
  expect(read(SHA.slice(7))).toMatchObject({ id: SHA, reference: null })
  expect(read("sha256:0123")).toMatchObject({ id: null, idPrefix: "0123" })
  expect(read("cafe")).toMatchObject({
    idPrefix: "cafe",
    reference: { path: "library/cafe", tag: "latest" },
  })
  expect(read("busybox")).toMatchObject({ id: null, idPrefix: null })
  expect(Result.isFailure(parseImageName("No Such"))).toBe(true)
})

test("digests are checked for algorithm and length", () => {
  expect(isDigest(SHA)).toBe(true)
  expect(isDigest(`sha512:${"a".repeat(128)}`)).toBe(true)
  expect(digestFault("sha256")).toBe("invalid checksum digest format")
  expect(digestFault(`sha256:${"g".repeat(64)}`)).toBe("invalid checksum digest format")
  expect(Result.isFailure(parseDigest(""))).toBe(true)
  expect(digestOf("")).toBe(
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
})
