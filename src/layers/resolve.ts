import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { deltaNotes } from "../oci/delta.ts"
import { digestOf } from "../oci/digest.ts"
import { layersMismatch } from "../oci/image-config.ts"
import { checkImage, chooseManifest, type ImageManifest, parseManifest } from "../oci/manifest.ts"
import { machinePlatform, parsePlatform } from "../oci/platform.ts"
import type { Access } from "../registry/access.ts"
import type { RegistryFault } from "../registry/faults.ts"
import type { Document, Registry } from "../registry/registry.ts"
import { FIRST_WORD_MS, persist, type Persistence } from "../registry/retry.ts"
import { type DeltaOffer, PullFault, type Resolved } from "./carrier.ts"
import { targetOf } from "./target.ts"

export interface ResolveJob {
  readonly repository: string
  /** A tag or a digest. */
  readonly reference: string
  readonly access: Access
  /** `linux/arm64/v8`; null: this machine's. */
  readonly platform: string | null
  /** IDs of images that are here. */
  readonly bases: readonly string[]
}

export interface ResolveTools extends Pick<Persistence, "backoff" | "retrying"> {
  /** The registry has said what the reference names: from here on its faults are waited out. */
  readonly named: () => void
}

/** A registry's fault, as the end of a pull. */
export const registryFault = ({ reason, cause }: RegistryFault): PullFault =>
  new PullFault({ reason, cause })

const lift = <A, E extends { readonly reason: PullFault["reason"]; readonly cause: string }>(
  result: Result.Result<A, E>,
): Effect.Effect<A, PullFault> =>
  Result.isSuccess(result)
    ? Effect.succeed(result.success)
    : Effect.fail(new PullFault({ reason: result.failure.reason, cause: result.failure.cause }))

/**
 * Asks the registry what a reference names: down a list to the image for this platform, to its
 * manifest and its config, every byte checked against the digest that named it.
 */
export const resolve = Effect.fnUntraced(
  function*(registry: Registry["Service"], job: ResolveJob, tools: ResolveTools) {
    const { access, repository } = job
    const { backoff, retrying } = tools
    const asking = <A>(conversation: Effect.Effect<A, RegistryFault>, patienceMs: number) =>
      Effect.mapError(persist(conversation, { backoff, retrying, patienceMs }), registryFault)
    const get = (reference: string, patienceMs: number) =>
      asking(registry.document(access, repository, reference), patienceMs)
    const platform = job.platform === null
      ? machinePlatform
      : parsePlatform(job.platform, machinePlatform)
    if (platform === null) {
      const cause = `"${job.platform}" is an invalid platform`
      return yield* new PullFault({ reason: "unsupported", cause })
    }
    const named = yield* get(job.reference, FIRST_WORD_MS)
    const first = yield* lift(parseManifest(named.bytes, named.mediaType))
    tools.named()
    const document = first.kind === "image"
      ? named
      : yield* get((yield* lift(chooseManifest(first, platform))).digest, Infinity)
    const manifest = first.kind === "image" ? first : yield* imageIn(document)
    const { config } = yield* lift(checkImage(manifest))
    const bytes = yield* asking(registry.content(access, repository, config), Infinity)
    const { config: target, diffIds, delta } = yield* lift(targetOf(bytes))
    const mismatch = layersMismatch(diffIds, manifest.layers.length)
    if (mismatch !== null) return yield* damaged({ cause: mismatch })
    const imageId = digestOf(target)
    const offers = delta !== null || job.bases.length === 0 || job.bases.includes(imageId)
      ? []
      : yield* offered(registry, job, document.digest)
    return {
      imageId,
      manifestDigest: document.digest,
      digest: named.digest,
      mediaType: manifest.mediaType,
      manifest: document.bytes,
      config: target,
      layers: layersOf(manifest, diffIds, access.host, repository),
      delta,
      offers,
    } satisfies Resolved
  },
)

/**
 * Deltas against images that are here which the registry has for this manifest. That there are none
 * and that it cannot be asked is the same: the image itself is there.
 */
const offered = (
  registry: Registry["Service"],
  { access, repository, bases }: ResolveJob,
  digest: string,
): Effect.Effect<readonly DeltaOffer[]> =>
  registry.referrers(access, repository, digest).pipe(
    Effect.map(({ manifests }) =>
      manifests.map(({ digest, annotations }) => ({ digest, ...deltaNotes(annotations) }))
        .filter((offer): offer is DeltaOffer =>
          offer.base !== undefined && bases.includes(offer.base))
    ),
    Effect.orElseSucceed(() => []),
  )

const damaged = ({ cause }: { readonly cause: string }): PullFault =>
  new PullFault({ reason: "damaged", cause })

/** What a list names must be an image: lists of lists are nobody's practice. */
const imageIn = (document: Document): Effect.Effect<ImageManifest, PullFault> =>
  Effect.flatMap(lift(parseManifest(document.bytes, document.mediaType)), (manifest) =>
    manifest.kind === "image"
      ? Effect.succeed(manifest)
      : Effect.fail(new PullFault({
        reason: "unsupported",
        cause: `${document.digest}: a manifest list within a manifest list`,
      })))

const layersOf = (
  manifest: ImageManifest,
  diffIds: readonly string[],
  host: string,
  repository: string,
): Resolved["layers"] =>
  manifest.layers.map(({ digest, size, mediaType, urls }, index) => ({
    diffId: diffIds[index]!,
    source: { kind: "registry", host, repository, digest, size, mediaType, urls },
  }))

