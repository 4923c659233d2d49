import { digestOf } from "../../src/oci/digest.ts"
import { MEDIA } from "../../src/oci/manifest.ts"

interface Kept {
  readonly mediaType: string
  readonly bytes: Uint8Array
}

export const REFERRERS_TYPE = MEDIA.ociIndex

/** The index of those manifests whose subject has this digest. */
export const referrersIndex = (manifests: readonly Kept[], digest: string) => ({
  schemaVersion: 2,
  mediaType: REFERRERS_TYPE,
  manifests: manifests
    .map((kept) => ({ ...kept, json: JSON.parse(Buffer.from(kept.bytes).toString()) }))
    .filter(({ json }) => json.subject?.digest === digest)
    .map(({ mediaType, bytes, json: { artifactType, annotations } }) => ({
      mediaType, digest: digestOf(bytes), size: bytes.length, artifactType, annotations,
    })),
})
