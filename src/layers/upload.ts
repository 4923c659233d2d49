import * as Effect from "effect/Effect"
import { breathe } from "../delta/own/scan.ts"
import { squeezed } from "../delta/squeeze/squeeze.ts"
import { Sha256 } from "../kernel/digest.ts"
import { type Gzip, gzip } from "../kernel/gzip.ts"
import { digestOf } from "../oci/digest.ts"
import { MEDIA } from "../oci/manifest.ts"
import { referrersIndex } from "../oci/pushed.ts"
import type { RegistryFault } from "../registry/faults.ts"
import { type Registry, referrersTag } from "../registry/registry.ts"
import {
  hasBlob, type ManifestToPut, mountBlob, putManifest, type Session, type Target,
} from "../registry/repository.ts"
import { FIRST_WORD_MS, persist, type Persistence, Tries } from "../registry/retry.ts"
import { type Content, putBlob } from "../registry/upload.ts"
import { type Packing, PullFault, type Uploaded } from "./carrier.ts"
import { LayerDamaged } from "./damage.ts"
import { faultOf } from "./faults.ts"
import type { PublishMessage, UploadMessage } from "./messages.ts"
import { LayerTar } from "./rebuild.ts"
import { registryFault } from "./resolve.ts"

export interface UploadTools extends Pick<Persistence, "backoff" | "retrying"> {
  readonly registry: Registry["Service"]
  /** There is a registry: from here on its faults are waited out. */
  readonly named: () => void
  /** Bytes of the layer's tar. */
  readonly progress: (current: number, total: number) => void
}

/** Every question is a round trip, and a layer that is nowhere is sent in the end. */
const ASKED_MAX = 4
const MOUNTS_MAX = 2

const asPull = (fault: RegistryFault | PullFault): PullFault =>
  fault instanceof PullFault ? fault : registryFault(fault)

/**
 * Has a layer in a repository: as a blob that it has, as one that another repository of the same
 * registry lends it, or as a new one, made of the layer's files as it is sent.
 */
export const uploadLayer = (
  job: UploadMessage,
  tools: UploadTools,
): Effect.Effect<Uploaded, PullFault> =>
  Effect.gen(function*() {
    const { registry, backoff, retrying } = tools
    const first = { backoff, retrying: () => {}, patienceMs: FIRST_WORD_MS }
    yield* persist(registry.reach(job.access), first)
    tools.named()
    const tries = new Tries({ backoff, retrying })
    const existing = yield* findBlob(job, registry, tries)
    if (existing !== null) return existing
    const { mounted, session } = yield* tryMounts(job, registry, tries)
    if (mounted !== null) return mounted
    const put = yield* putBlob(registry, job, layerContent(job, tools.progress), tries, session)
    const mediaType = job.packing === "none" ? MEDIA.dockerLayer : MEDIA.dockerLayerGzip
    return { ...put, mediaType, how: "pushed", from: null } satisfies Uploaded
  }).pipe(Effect.mapError(asPull))

const findBlob = (job: UploadMessage, registry: Registry["Service"], tries: Tries) =>
  Effect.gen(function*() {
    const asked = new Set<string>()
    for (const { digest, size, mediaType } of job.known) {
      if (asked.has(digest) || asked.size === ASKED_MAX) continue
      asked.add(digest)
      if (!(yield* tries.repeat(hasBlob(registry, job, digest)))) continue
      return { digest, size, mediaType, how: "existed", from: null } satisfies Uploaded
    }
    return null
  })

/** A mount that is refused is no fault: the layer is then sent. */
const tryMounts = (job: UploadMessage, registry: Registry["Service"], tries: Tries) =>
  Effect.gen(function*() {
    let session: Session | null = null
    const candidates = job.known.filter(({ from }) => from !== null && from !== job.repository)
    for (const { digest, size, mediaType, from } of candidates.slice(0, MOUNTS_MAX)) {
      const mount = tries.repeat(mountBlob(registry, job, { digest, from: from! }))
      const answer = yield* Effect.catchIf(mount, ({ passing }) => !passing, () =>
        Effect.succeed(null))
      if (answer === "mounted") {
        const mounted: Uploaded = { digest, size, mediaType, how: "mounted", from }
        return { mounted, session }
      }
      session = answer ?? session
    }
    return { mounted: null, session }
  })

/** A layer's tar, packed: bit for bit the tar it was made of, which is hashed on the way. */
const layerContent = (
  { directory, diffId, packing }: UploadMessage,
  progress: UploadTools["progress"],
): Content<PullFault> =>
  Effect.gen(function*() {
    const tar = yield* Effect.acquireRelease(
      Effect.try({ try: () => LayerTar.open(directory), catch: unreadable }),
      (tar) => Effect.sync(() => tar.close()),
    )
    const [tarHash, blobHash] = [new Sha256(), new Sha256()]
    function* pieces(): Generator<Buffer> {
      let read = 0
      for (const piece of tar.chunks()) {
        tarHash.update(piece)
        read += piece.length
        progress(read, tar.size)
        yield piece
      }
      const found = named(tarHash)
      if (found === diffId) return
      throw new LayerDamaged({ file: directory, cause: `its tar is ${found}, not ${diffId}` })
    }
    const packed = yield* Effect.acquireRelease(
      Effect.sync(() => packedBy(packing, pieces())),
      (packed) => Effect.sync(() => packed.close()),
    )
    const next = Effect.tryPromise({ try: packed.next, catch: unreadable }).pipe(
      Effect.tap((bytes) => Effect.sync(() => bytes !== null && blobHash.update(bytesOf(bytes)))),
    )
    return { next, digest: () => named(blobHash) }
  })

const packedBy = (packing: Packing, pieces: Generator<Buffer>): Gzip => {
  if (packing === "gzip") return gzip(pieces)
  return asItComes(packing === "smallest" ? squeezed(pieces) : pieces)
}

/** What needs no thread of its own, in the way of `gzip`; others have a turn before each piece. */
const asItComes = (pieces: Iterator<Buffer>): Gzip => ({
  next: async () => {
    await breathe()
    const { done, value } = pieces.next()
    return done === true ? null : value
  },
  close: () => {},
})

const named = (hash: Sha256): string => `sha256:${hash.digest().toString("hex")}`
const bytesOf = (piece: Uint8Array) => Buffer.from(piece.buffer, piece.byteOffset, piece.length)
const unreadable = (error: unknown): PullFault => faultOf(error, "reading the layer")

const bytesContent = (bytes: Uint8Array): Content<never> =>
  Effect.sync(() => {
    let isRead = false
    const next = Effect.sync(() => {
      if (isRead) return null
      isRead = true
      return bytes
    })
    return { next, digest: () => digestOf(bytes) }
  })

/**
 * Keeps a manifest under a tag, and before it the small blobs that it names and the repository has
 * not. Answers the manifest's digest.
 */
export const publishManifest = (
  { access, repository, reference, manifest, mediaType, subject, blobs }: PublishMessage,
  { registry, backoff, retrying }: Omit<UploadTools, "named" | "progress">,
): Effect.Effect<string, PullFault> =>
  Effect.gen(function*() {
    const target: Target = { access, repository }
    const tries = new Tries({ backoff, retrying })
    for (const blob of blobs) {
      if (yield* tries.repeat(hasBlob(registry, target, digestOf(blob)))) continue
      yield* putBlob(registry, target, bytesContent(blob), tries)
    }
    const put = { mediaType, bytes: manifest }
    const digest = yield* putManifest(registry, target, reference, put, tries)
    if (subject !== null) yield* attach(registry, target, subject, put, tries)
    return digest
  }).pipe(Effect.mapError(registryFault))

/**
 * Has a manifest found from its subject. A registry that lists what refers to one has read that for
 * itself; for another the index that clients keep under a tag is written anew, as the specification
 * has it: of two who do so at once, one may win.
 */
const attach = (
  registry: Registry["Service"],
  target: Target,
  subject: string,
  { mediaType, bytes }: ManifestToPut,
  tries: Tries,
): Effect.Effect<void, RegistryFault> =>
  Effect.gen(function*() {
    const { access, repository } = target
    const found = yield* tries.repeat(registry.referrers(access, repository, subject))
    if (found.isListed) return
    const index = referrersIndex(found.manifests, { mediaType, bytes })
    if (index === null) return
    const put = { mediaType: MEDIA.ociIndex, bytes: index }
    yield* putManifest(registry, target, referrersTag(subject), put, tries)
  })
