import * as Result from "effect/Result"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { digestOf } from "../../src/oci/digest.ts"
import {
  checkImage,
  chooseManifest,
  compressionOf,
  compressionOfBytes,
  type ImageManifest,
  type ManifestList,
  MEDIA,
  parseManifest,
} from "../../src/oci/manifest.ts"
import {
  formatPlatform,
  parsePlatform,
  type Platform,
  platformOfNode,
  suitability,
} from "../../src/oci/platform.ts"

const bytes = (value: unknown) => Buffer.from(JSON.stringify(value))
const read = (value: unknown, type: string | null = null) =>
  Result.getOrThrow(parseManifest(bytes(value), type))
const cause = (value: unknown, type: string | null = null) =>
  Result.match(parseManifest(value instanceof Buffer ? value : bytes(value), type), {
    onSuccess: (manifest) => `no fault: ${manifest.mediaType}`,
    onFailure: (fault) => `${fault.reason}: ${fault.cause}`,
  })

const blob = (name: string, mediaType: string) => ({ mediaType, digest: digestOf(name), size: 7 })
const docker = {
  schemaVersion: 2,
  mediaType: MEDIA.dockerManifest,
  config: blob("config", MEDIA.dockerConfig),
  layers: [blob("a", MEDIA.dockerLayerGzip), blob("b", MEDIA.dockerLayerGzip)],
}
const oci = {
  schemaVersion: 2,
  config: blob("config", MEDIA.ociConfig),
  layers: [blob("a", MEDIA.ociLayerZstd)],
}

describe("manifests", () => {
  test("Docker's schema 2", () => {
    const manifest = read(docker, MEDIA.dockerManifest) as ImageManifest
    expect(manifest.config.digest).toBe(digestOf("config"))
    expect(manifest.layers.map(({ size }) => size)).toEqual([7, 7])
    expect(Result.isSuccess(checkImage(manifest))).toBe(true)
  })

  test("OCI's, which need not name their own type", () => {
    expect(read(oci, `${MEDIA.ociManifest}; charset=utf-8`).mediaType).toBe(MEDIA.ociManifest)
    expect(read(oci).mediaType).toBe(MEDIA.ociManifest)
    expect(read({ schemaVersion: 2, manifests: [] }).mediaType).toBe(MEDIA.ociIndex)
    expect(read({ ...oci, subject: blob("t", MEDIA.ociManifest), annotations: { a: "b" } }))
      .toMatchObject({ subject: { digest: digestOf("t") }, annotations: { a: "b" } })
  })

  test("what is refused, and why", () => {
    expect(cause({ schemaVersion: 1, fsLayers: [] })).toMatch(/^unsupported: .*schema 1/)
    expect(cause(Buffer.from("x"), MEDIA.dockerSchema1Signed)).toMatch(/^unsupported: .*schema 1/)
    expect(cause(Buffer.from("<html>"))).toMatch(/^damaged: damaged image manifest: not JSON/)
    expect(cause([])).toMatch(/^damaged/)
    expect(cause({})).toMatch(/^damaged.*schemaVersion missing/)
    expect(cause({ ...docker, mediaType: "application/x" })).toMatch(/^unsupported.*application\/x/)
    expect(cause(docker, MEDIA.ociManifest)).toMatch(/^damaged: manifest says it is/)
    expect(cause({ ...oci, manifests: [] })).toMatch(/ambiguous/)
    expect(cause({ ...oci, config: null })).toMatch(/no config/)
    expect(cause({ ...docker, layers: [{ ...docker.layers[0], digest: "sha256:x" }] }))
      .toMatch(/invalid checksum digest length.*layers.*0.*digest/)
    expect(cause({ ...docker, layers: [{ ...docker.layers[0], size: -1 }] })).toMatch(/size/)
  })

  test("a chart or a plug-in is no image", () => {
    const of = (config: string, layer: string) =>
      Result.match(
        checkImage(
          read({ ...oci, config: blob("c", config), layers: [blob("l", layer)] }) as ImageManifest,
        ),
        { onSuccess: () => "", onFailure: ({ cause }) => cause },
      )
    for (const config of ["cncf.helm.config", "docker.plugin"]) {
      expect(of(`application/vnd.${config}.v1+json`, MEDIA.ociLayer)).toMatch(/not a container/)
    }
    expect(of(MEDIA.ociConfig, "application/x-foo")).toBe(
      "unsupported layer media type application/x-foo")
    expect(of("application/octet-stream", MEDIA.dockerForeignLayerGzip)).toBe("")
  })

  test("no bytes make it throw", () => {
    const types = fc.option(fc.constantFrom(...Object.values(MEDIA)))
    fc.assert(fc.property(fc.json(), types, (text, type) => {
      expect(Result.isResult(parseManifest(Buffer.from(text), type))).toBe(true)
    }))
    fc.assert(fc.property(fc.uint8Array(), (raw) => {
      expect(Result.isFailure(parseManifest(raw, null))).toBe(true)
    }))
  })

  test("packing, by type and by bytes", () => {
    expect(compressionOf(MEDIA.ociLayerZstd)).toBe("zstd")
    expect(compressionOf(MEDIA.dockerLayer)).toBe("none")
    expect(compressionOf("application/x")).toBeNull()
    expect(compressionOfBytes(Buffer.from("1f8b0800", "hex"))).toBe("gzip")
    expect(compressionOfBytes(Buffer.from("28b52ffd", "hex"))).toBe("zstd")
    expect(compressionOfBytes(Buffer.from("usta"))).toBe("none")
    expect(compressionOfBytes(Buffer.alloc(0))).toBe("none")
  })
})

const offer = (text: string) => {
  const [os, architecture, variant] = text.split("/")
  return {
    ...blob(text, MEDIA.ociManifest),
    ...(text === "?" ? {} : { platform: { os, architecture, ...(variant ? { variant } : {}) } }),
  }
}
const chosen = (wanted: Platform, ...offers: readonly string[]) => {
  const list = read({ schemaVersion: 2, manifests: offers.map(offer) }) as ManifestList
  return Result.match(chooseManifest(list, wanted), {
    onSuccess: ({ digest }) => offers.find((text) => digestOf(text) === digest),
    onFailure: (fault) => fault.cause,
  })
}
const linux = (architecture: string, variant = ""): Platform =>
  ({ os: "linux", architecture, variant })

describe("the image in a list that suits a machine", () => {
  const usual = ["unknown/unknown", "linux/386", "linux/arm/v5", "linux/arm/v7", "linux/arm64/v8",
    "linux/amd64", "linux/ppc64le"]
  test.each([
    ["amd64", linux("amd64"), "linux/amd64"],
    ["x86_64 is amd64", linux("x86_64"), "linux/amd64"],
    ["arm64", linux("arm64"), "linux/arm64/v8"],
    ["armv7", linux("arm", "v7"), "linux/arm/v7"],
    ["armv6 takes v5", linux("arm", "v6"), "linux/arm/v5"],
    ["arm of no variant is v7", linux("arm"), "linux/arm/v7"],
    ["386", linux("386"), "linux/386"],
  ])("%s", (_, wanted, expected) => expect(chosen(wanted, ...usual)).toBe(expected))

  test("older kin where there is nothing better", () => {
    expect(chosen(linux("arm64"), "linux/arm/v6", "linux/arm/v7")).toBe("linux/arm/v7")
    expect(chosen(linux("amd64"), "linux/386")).toBe("linux/386")
    expect(chosen(linux("amd64"), "linux/amd64/v2", "linux/amd64")).toBe("linux/amd64")
    expect(chosen(linux("amd64", "v3"), "linux/amd64", "linux/amd64/v2")).toBe("linux/amd64/v2")
    expect(chosen(linux("arm64", "v9"), "linux/arm64")).toBe("linux/arm64")
    expect(chosen(linux("amd64"), "?", "linux/amd64")).toBe("linux/amd64")
    expect(chosen(linux("amd64"), "linux/s390x", "?")).toBe("?")
  })

  test("none: the same words as Docker's", () => {
    expect(chosen(linux("arm", "v6"), "unknown/unknown", "linux/arm/v7", "windows/arm/v6")).toBe(
      "no matching manifest for linux/arm/v6 in the manifest list entries",
    )
  })

  test("an attestation is told by its annotation too", () => {
    const list = read({
      schemaVersion: 2,
      manifests: [{
        ...offer("?"),
        annotations: { "vnd.docker.reference.type": "attestation-manifest" },
      }],
    }) as ManifestList
    expect(Result.isFailure(chooseManifest(list, linux("amd64")))).toBe(true)
  })
})

test("platforms: Node's names, and what people write", () => {
  expect(platformOfNode("x64", undefined)).toEqual(linux("amd64"))
  expect(platformOfNode("arm64", undefined)).toEqual(linux("arm64"))
  expect(platformOfNode("arm", "6")).toEqual(linux("arm", "v6"))
  const here = linux("amd64")
  expect(parsePlatform("linux/arm/v7", here)).toEqual(linux("arm", "v7"))
  expect(parsePlatform("aarch64", here)).toEqual(linux("arm64"))
  expect(parsePlatform("armhf", here)).toEqual(linux("arm", "v7"))
  expect(parsePlatform("linux", here)).toEqual(here)
  for (const bad of ["", "a/b/c/d", "linux/", "li nux"]) expect(parsePlatform(bad, here)).toBeNull()
  expect(formatPlatform(linux("arm", "v7"))).toBe("linux/arm/v7")
  expect(suitability(here, linux("amd64"))).toBe(0)
})
