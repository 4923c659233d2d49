import { describe, expect, test } from "vitest"
import { digestOf } from "../../src/oci/digest.ts"
import { MEDIA, parseManifest } from "../../src/oci/manifest.ts"
import { pushedManifest } from "../../src/oci/pushed.ts"

const config = Buffer.from('{"rootfs":{}}')
const layerOf = (name: string, mediaType: string = MEDIA.dockerLayerGzip) =>
  ({ digest: digestOf(name), size: name.length, mediaType })
const gzip = [layerOf("a"), layerOf("bb")]

/** As some registry gave it: with what we would never write. */
const given = (mediaType: string, layers: readonly { digest: string }[], id = digestOf(config)) =>
  Buffer.from(JSON.stringify({
    schemaVersion: 2,
    mediaType,
    annotations: { "org.example": "kept" },
    config: { mediaType: MEDIA.ociConfig, digest: id, size: config.length },
    layers,
  }))

const put = (layers: readonly ReturnType<typeof layerOf>[], manifest: Uint8Array | null = null) => {
  const { mediaType, bytes } = pushedManifest(
    { config, manifest, mediaType: MEDIA.ociManifest },
    layers,
  )
  return { mediaType, text: Buffer.from(bytes).toString() }
}

describe("the manifest of what is pushed", () => {
  test("is the registry's own, bit for bit, where it names the same blobs", () => {
    const layers = [layerOf("a", MEDIA.ociLayerZstd), layerOf("bb", MEDIA.ociLayer)]
    const manifest = given(MEDIA.ociManifest, layers)
    expect(put(layers, manifest)).toEqual({
      mediaType: MEDIA.ociManifest,
      text: manifest.toString(),
    })
  })
  test.each([
    ["another layer", given(MEDIA.ociManifest, [layerOf("a"), layerOf("c")])],
    ["a layer more", given(MEDIA.ociManifest, [...gzip, layerOf("c")])],
    ["another order", given(MEDIA.ociManifest, gzip.toReversed())],
    ["another config", given(MEDIA.ociManifest, gzip, digestOf("other"))],
    ["nonsense", Buffer.from("{}")],
  ])("is a new one beside one that names %s", (_what, manifest) => {
    expect(put(gzip, manifest)).toEqual(put(gzip))
  })
  test("is laid out as dockerd does", () => {
    const [a, b] = gzip.map(({ digest }) => digest)
    expect(put(gzip)).toEqual({
      mediaType: MEDIA.dockerManifest,
      text: `{
   "schemaVersion": 2,
   "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
   "config": {
      "mediaType": "application/vnd.docker.container.image.v1+json",
      "size": 13,
      "digest": "${digestOf(config)}"
   },
   "layers": [
      {
         "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
         "size": 1,
         "digest": "${a}"
      },
      {
         "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
         "size": 2,
         "digest": "${b}"
      }
   ]
}`,
    })
  })
  test("calls no blob gzip that is none", () => {
    const layers = [
      layerOf("a", MEDIA.ociLayerZstd), layerOf("b"), layerOf("c", MEDIA.dockerLayer),
      layerOf("d", MEDIA.ociLayerGzip),
    ]
    const { mediaType, text } = put(layers)
    const parsed = parseManifest(Buffer.from(text), mediaType)
    expect(parsed).toMatchObject({
      success: {
        mediaType: MEDIA.ociManifest,
        config: { mediaType: MEDIA.ociConfig },
        layers: [
          { mediaType: MEDIA.ociLayerZstd },
          { mediaType: MEDIA.ociLayerGzip },
          { mediaType: MEDIA.ociLayer },
          { mediaType: MEDIA.ociLayerGzip },
        ],
      },
    })
    expect(put([layerOf("d", MEDIA.ociLayerGzip)]).mediaType).toBe(MEDIA.dockerManifest)
  })
})
