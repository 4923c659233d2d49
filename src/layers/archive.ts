import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { Errno } from "../kernel/libc.ts"
import { digestOf, splitDigest } from "../oci/digest.ts"
import { LAYERS_MISMATCH } from "../oci/image-config.ts"
import {
  checkImage, chooseManifest, type Descriptor, type ImageManifest, type Manifest,
  type ManifestFault, MEDIA, parseManifest,
} from "../oci/manifest.ts"
import { machinePlatform } from "../oci/platform.ts"
import { formatReference, parseReference } from "../oci/reference.ts"
import {
  annotatedName, blobPath, parseLayoutVersion, parseSavedManifest, type SavedImage,
} from "../oci/saved.ts"
import { ArchiveFiles, damaged } from "./archive-files.ts"
import { type Archived, PullFault } from "./carrier.ts"
import { type Target, targetOf } from "./target.ts"

/** As registries limit manifests, too. */
const MANIFEST_MAX = 4 << 20
/** A delta's configuration has another one inside. */
const CONFIG_MAX = 8 << 20
/** Lists within lists; one is what tools make. */
const LISTS_MAX = 4

/**
 * What a `docker save` archive holds: an uncompressed tar at `path` (`spool` makes it so) in the
 * layout of Docker before 25 (`manifest.json` and a directory for each layer), in that of Docker 25
 * and later (an OCI image layout with `manifest.json`), or a bare OCI image layout. A layer's
 * source is the place of its bytes in the archive, compressed or not as they are; nobody has looked
 * into them yet. Configurations are whole, and the digests of all but the layers are checked.
 */
export const inspectArchive = (path: string): Effect.Effect<readonly Archived[], PullFault> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(inspect(path))
    } catch (error) {
      if (error instanceof PullFault) return Effect.fail(error)
      if (error instanceof Errno) {
        return Effect.fail(new PullFault({ reason: "local", cause: error.message }))
      }
      return Effect.die(error)
    }
  })

function inspect(path: string): readonly Archived[] {
  const files = new ArchiveFiles(path)
  try {
    if (files.has("manifest.json")) return merged(saved(files))
    if (files.has("index.json")) return merged(layout(files))
    throw files.has("repositories")
      ? unsupported("saved by a Docker before 1.10: load it there, and save it with a newer one")
      : damaged("invalid archive: does not contain a manifest.json")
  } finally {
    files.close()
  }
}

const faultOf = ({ reason, cause }: ManifestFault) => new PullFault({ reason, cause })
const unsupported = (cause: string) => new PullFault({ reason: "unsupported", cause })

/** Images by `manifest.json`. */
function saved(files: ArchiveFiles): readonly Archived[] {
  const images = parseSavedManifest(files.bytes("manifest.json", MANIFEST_MAX))
  if (Result.isFailure(images)) throw damaged(`invalid manifest.json: ${images.failure}`)
  return images.success.map((image) => savedOne(files, image))
}

function savedOne(files: ArchiveFiles, image: SavedImage): Archived {
  const config = files.bytes(image.config, CONFIG_MAX)
  const imageId = digestOf(config)
  if (image.config.startsWith("blobs/") && image.config !== blobPath(imageId)) {
    throw damaged(`${image.config} has the digest ${imageId}`)
  }
  const places = image.layers.map((layer) => files.place(layer))
  return archived(files, imageId, config, image.tags.map(canonicalTag), places)
}

function archived(
  files: ArchiveFiles, imageId: string, config: Uint8Array, tags: readonly string[],
  places: readonly { readonly offset: number; readonly size: number }[],
): Archived {
  const { diffIds, delta, ...target } = checked(config)
  if (diffIds.length !== places.length) {
    throw damaged(delta !== null ? LAYERS_MISMATCH : "invalid manifest, layers length mismatch: " +
      `expected ${places.length}, got ${diffIds.length}`)
  }
  const layers = diffIds.map((diffId, n) =>
    ({ diffId, source: { kind: "archive" as const, path: files.path, ...placeOf(places[n]!) } }))
  return { imageId: delta === null ? imageId : digestOf(target.config), config: target.config, tags,
    layers, delta }
}

const placeOf = ({ offset, size }: { readonly offset: number; readonly size: number }) =>
  ({ offset, size })

function checked(config: Uint8Array): Target {
  const target = targetOf(config)
  if (Result.isFailure(target)) throw target.failure
  const { os } = target.success
  if (os !== "" && os !== "linux") throw unsupported(`cannot load ${os} image on linux`)
  return target.success
}

function canonicalTag(text: string): string {
  const reference = parseReference(text)
  if (Result.isFailure(reference)) {
    throw damaged(`invalid tag ${JSON.stringify(text)}: ${reference.failure.cause}`)
  }
  if (reference.success.tag === null) throw damaged(`invalid tag ${JSON.stringify(text)}`)
  return formatReference({ ...reference.success, digest: null })
}

/** Images by `index.json` alone. */
function layout(files: ArchiveFiles): readonly Archived[] {
  const version = parseLayoutVersion(files.bytes("oci-layout", MANIFEST_MAX))
  if (Result.isFailure(version)) throw damaged(`invalid oci-layout: ${version.failure}`)
  if (!version.success.startsWith("1.")) {
    throw unsupported(`OCI image layout version ${version.success} is not supported`)
  }
  const index = manifestOf(files.bytes("index.json", MANIFEST_MAX), MEDIA.ociIndex)
  if (index.kind !== "list") throw damaged("invalid index.json: not an index")
  return suitable(index.manifests).map((entry) => {
    const image = imageOf(files, entry)
    const config = blob(files, image.config, CONFIG_MAX)
    const name = annotatedName(entry.annotations)
    const places = image.layers.map((layer) => sized(files, layer))
    return archived(files, image.config.digest, config, name === null ? [] : [name], places)
  })
}

/**
 * The entries of a layout's index to be loaded: each is an image of its own, unless entries of one
 * name are told apart by platform; then the best for this machine.
 */
function suitable(entries: readonly Descriptor[]): readonly Descriptor[] {
  const images = entries.filter(({ annotations, platform }) =>
    annotations["vnd.docker.reference.type"] === undefined && platform?.os !== "unknown")
  return [...Map.groupBy(images, ({ annotations }) => annotatedName(annotations)).values()]
    .flatMap((group) => group.length > 1 && group.every(({ platform }) => platform !== null)
      ? [chosen(group)]
      : group)
}

function chosen(manifests: readonly Descriptor[]): Descriptor {
  const list = { kind: "list" as const, mediaType: MEDIA.ociIndex, manifests, annotations: {} }
  const choice = chooseManifest(list, machinePlatform)
  if (Result.isFailure(choice)) throw faultOf(choice.failure)
  return choice.success
}

function imageOf(files: ArchiveFiles, entry: Descriptor): ImageManifest {
  let descriptor = entry
  for (let lists = 0; lists < LISTS_MAX; lists++) {
    const manifest = manifestOf(blob(files, descriptor, MANIFEST_MAX), descriptor.mediaType)
    if (manifest.kind === "image") {
      const image = checkImage(manifest)
      if (Result.isFailure(image)) throw faultOf(image.failure)
      return image.success
    }
    descriptor = chosen(manifest.manifests)
  }
  throw damaged("invalid index.json: indexes within indexes")
}

function manifestOf(bytes: Uint8Array, mediaType: string): Manifest {
  const manifest = parseManifest(bytes, mediaType)
  if (Result.isFailure(manifest)) throw faultOf(manifest.failure)
  return manifest.success
}

function sized(files: ArchiveFiles, { digest, size }: Descriptor) {
  const place = files.place(blobPath(digest))
  if (place.size !== size) {
    throw damaged(`${blobPath(digest)} has ${place.size} bytes instead of ${size}`)
  }
  return place
}

/** A blob whose digest is checked: manifests and configurations. */
function blob(files: ArchiveFiles, descriptor: Descriptor, bytesMax: number): Buffer {
  const { digest } = descriptor
  if (splitDigest(digest)[0] !== "sha256") {
    throw unsupported(`unsupported digest algorithm: ${digest}`)
  }
  sized(files, descriptor)
  const bytes = files.bytes(blobPath(digest), bytesMax)
  if (digestOf(bytes) !== digest) {
    throw damaged(`${blobPath(digest)} has the digest ${digestOf(bytes)}`)
  }
  return bytes
}

/** One of each image, with all the tags that its entries gave it. */
function merged(images: readonly Archived[]): readonly Archived[] {
  return [...Map.groupBy(images, ({ imageId }) => imageId).values()].map((same) =>
    ({ ...same[0]!, tags: [...new Set(same.flatMap(({ tags }) => tags))] }))
}
