import * as Effect from "effect/Effect"
import { digestOf } from "../oci/digest.ts"
import type { Access } from "./access.ts"
import type { RegistryFault } from "./faults.ts"
import { collectError } from "./http.ts"
import type { Asked, Change, Registry } from "./registry.ts"
import type { Tries } from "./retry.ts"

/** A repository that is pushed to. */
export interface Target {
  readonly access: Access
  /** `library/busybox`. */
  readonly repository: string
}

/** Where an upload goes on, and how many bytes the registry wants at once at least. */
export interface Session {
  readonly location: string
  readonly chunkMin: number
}

/** What changes are sent through. */
type Client = Pick<Registry["Service"], "change" | "refused">

/**
 * Sends a change, and reads all that is said about it; fails where the answer has another status
 * than these.
 */
export const changed = (
  client: Client,
  change: Change,
  statuses: readonly number[],
): Effect.Effect<Asked, RegistryFault> =>
  Effect.scoped(Effect.gen(function*() {
    const asked = yield* client.change(change)
    if (!statuses.includes(asked.answer.status)) return yield* client.refused(change, asked)
    yield* collectError(asked.answer)
    return asked
  }))

/** Where an answer says to go on; relative to what was asked. */
export const locationIn = ({ request, answer }: Asked): string =>
  new URL(answer.headers["location"] ?? "", request.url).href

/** A registry that keeps its blobs elsewhere sends there whoever asks for one that it has. */
const THERE = [200, 301, 302, 303, 307, 308]

/** Has the repository this blob? */
export const hasBlob = (
  client: Client,
  target: Target,
  digest: string,
): Effect.Effect<boolean, RegistryFault> =>
  Effect.map(
    changed(client, {
      ...target,
      method: "HEAD",
      target: `/v2/${target.repository}/blobs/${digest}`,
    }, [...THERE, 404]),
    ({ answer }) => answer.status !== 404,
  )

/** A blob of another repository of the same registry. */
export interface Mount {
  readonly digest: string
  readonly from: string
}

const sessionIn = (asked: Asked): Session => {
  const least = Number(asked.answer.headers["oci-chunk-min-length"] ?? 0)
  return { location: locationIn(asked), chunkMin: Number.isSafeInteger(least) ? least : 0 }
}

/** Begins an upload. */
export const beginUpload = (
  client: Client,
  target: Target,
): Effect.Effect<Session, RegistryFault> =>
  Effect.map(
    changed(client, {
      ...target,
      method: "POST",
      target: `/v2/${target.repository}/blobs/uploads/`,
    }, [202]),
    sessionIn,
  )

/**
 * Has a blob of another repository counted to this one as well. A registry that will not begins an
 * upload instead, as the specification has it.
 */
export const mountBlob = (
  client: Client,
  target: Target,
  { digest, from }: Mount,
): Effect.Effect<Session | "mounted", RegistryFault> => {
  const query = new URLSearchParams({ mount: digest, from })
  const change: Change = {
    ...target,
    mountFrom: from,
    method: "POST",
    target: `/v2/${target.repository}/blobs/uploads/?${query}`,
  }
  return Effect.map(changed(client, change, [201, 202]), (asked) =>
    asked.answer.status === 201 ? "mounted" : sessionIn(asked))
}

/** A manifest, an index, or anything else that is kept like one. */
export interface ManifestToPut {
  readonly mediaType: string
  readonly bytes: Uint8Array
}

/** Keeps a manifest under a tag, or under its digest. Answers the digest of exactly these bytes. */
export const putManifest = (
  client: Client,
  target: Target,
  reference: string,
  { mediaType, bytes }: ManifestToPut,
  tries: Tries,
): Effect.Effect<string, RegistryFault> =>
  Effect.as(
    tries.repeat(changed(client, {
      ...target,
      method: "PUT",
      target: `/v2/${target.repository}/manifests/${reference}`,
      headers: { "content-type": mediaType },
      body: bytes,
    }, [200, 201, 202])),
    digestOf(bytes),
  )
