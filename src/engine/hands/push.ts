import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { deltaImageOf } from "../../oci/delta.ts"
import { digestOf } from "../../oci/digest.ts"
import { parseImageConfig } from "../../oci/image-config.ts"
import type { Laid } from "../../../machines/push.ts"
import type { Address } from "../../../machines/words.ts"
import {
  type Access, Carrier, type KnownBlob, type Packing, PullFault, type Uploaded,
} from "../../layers/carrier.ts"
import { attachedManifest, type Attachment, pushedManifest } from "../../oci/pushed.ts"
import {
  familiarRepository, parseReference, type Reference, repositoryOf,
} from "../../oci/reference.ts"
import type { Staged } from "../../store/images.ts"
import type { LayerRow } from "../../store/layers.ts"
import { Store, type StoreBody } from "../../store/store.ts"
import type { Hands, MachineEvent, Order } from "../hand.ts"
import { Keyring } from "../keyring.ts"
import { Paths } from "../paths.ts"
import { ProgressBoard } from "../progress.ts"
import { Registries } from "../registries.ts"
import { CHILDREN_MOST } from "./layer.ts"

const tools = Effect.gen(function*() {
  return {
    store: yield* Store,
    carrier: yield* Carrier,
    paths: yield* Paths,
    keyring: yield* Keyring,
    board: yield* ProgressBoard,
    registries: yield* Registries,
  }
})
type Tools = Effect.Success<typeof tools>

interface Wanted {
  readonly reference: string
}

/** Hands for pushes: layers to the registry, then the manifest that names them. */
export const pushHands = Effect.map(tools, (tools): Hands => {
  const attended = (work: (order: Order) => Effect.Effect<MachineEvent, PullFault>) => ({
    kind: "long" as const,
    run: (order: Order): Effect.Effect<MachineEvent> =>
      order.attempt === "first"
        ? Effect.catch(work(order), ({ reason, cause }) =>
          Effect.succeed({ type: "pushFailed", reason, cause }))
        : Effect.succeed(interrupted),
  })
  return {
    "push.upload": attended((order) => upload(tools, order)),
    "push.publish": attended((order) => publish(tools, order)),
  }
})

/** Who would be told has gone with the crash, and the credentials as well. */
const interrupted: MachineEvent = {
  type: "pushFailed",
  reason: "interrupted",
  cause: "the engine stopped while the image was being pushed: push it again",
}

/** What the board calls one layer of a push. */
export const progressOf = (push: Address, diffId: string): string => `${push} ${diffId}`

const referenceOf = (text: string): Reference => Result.getOrThrow(parseReference(text))

const stagedFor = ({ store }: Tools, address: Address): Staged => {
  const staged = store.images.staged(address)
  if (staged === undefined) throw new Error(`${address} is pushed, but nothing of it was kept`)
  return staged
}

const accessFor = ({ keyring, registries }: Tools, address: Address, { domain }: Reference) => ({
  ...registries.accessTo(domain),
  credentials: keyring.get(address) ?? null,
})

/** The repository's own blob before those that could be lent to it, and those before any other. */
const knownBlobs = (
  { store }: Tools,
  diffId: string,
  host: string,
  repository: string,
): readonly KnownBlob[] => {
  const blobs = store.distribution.placesOf(diffId).map((place): KnownBlob => ({
    digest: place.digest,
    size: place.size,
    mediaType: place.mediaType,
    from: place.host === host ? place.repository : null,
  }))
  const rank = ({ from }: KnownBlob): number => from === repository ? 0 : from === null ? 2 : 1
  return blobs.toSorted((one, other) => rank(one) - rank(other))
}

const upload = (tools: Tools, order: Order<Wanted>): Effect.Effect<MachineEvent, PullFault> =>
  Effect.gen(function*() {
    const { store } = tools
    const { config, layers } = stagedFor(tools, order.address)
    const packing = packingOf(config)
    const rows = layers.map((address) => store.layers.get(address)!)
    // What an image has twice is sent once.
    const distinct = [...new Map(rows.map((row) => [row.diff_id, row])).values()]
    const sent = yield* Effect.forEach(
      distinct.toReversed(),
      (row) => Effect.map(uploadOne(tools, order, { row, packing }, CHILDREN_MOST), (blob) =>
        [row.diff_id, blob] as const),
      { concurrency: "unbounded" },
    )
    const laid = new Map(sent)
    return {
      type: "uploaded",
      layers: rows.map(({ diff_id }): Laid => {
        const { digest, size, mediaType } = laid.get(diff_id)!
        return { digest, size, mediaType }
      }),
    }
  })

interface ToUpload {
  readonly row: LayerRow
  readonly packing: Packing
}

const uploadOne = (
  tools: Tools,
  order: Order<Wanted>,
  layer: ToUpload,
  children: number,
): Effect.Effect<Uploaded, PullFault> =>
  Effect.suspend(() => {
    const { board, carrier, paths } = tools
    const { row, packing } = layer
    const { address } = order
    const reference = referenceOf(order.params.reference)
    const access = accessFor(tools, address, reference)
    const of = progressOf(address, row.diff_id)
    const { host } = access
    const { path: repository } = reference
    return carrier.upload({
      job: `${address} ${row.address}`,
      diffId: row.diff_id,
      directory: paths.layer(row.id),
      packing,
      access,
      repository,
      known: knownBlobs(tools, row.diff_id, host, repository),
    }, {
      named: () => board.tell({ of: address, current: 0, total: 0, retry: null }),
      progress: (current, total) => board.tell({ of, current, total, retry: null }),
      retrying: (cause, afterMs) =>
        board.tell({ of, current: 0, total: 0, retry: { cause, afterMs } }),
    }).pipe(
      Effect.tap((blob) =>
        Effect.sync(() =>
          order.answer({ type: "laid", layer: row.address, place: { host, repository }, ...blob })
        )
      ),
      Effect.ensuring(Effect.sync(() => board.end(of))),
    )
  }).pipe(
    Effect.catchIf(
      ({ reason }) => reason === "lost" && children > 1,
      () => uploadOne(tools, order, layer, children - 1),
    ),
  )

const publish = (
  tools: Tools,
  order: Order<Wanted & { readonly layers: readonly Laid[] }>,
): Effect.Effect<MachineEvent, PullFault> =>
  Effect.gen(function*() {
    const { board, carrier } = tools
    const { address, params } = order
    const { image, config, manifest, media_type: mediaType } = stagedFor(tools, address)
    const reference = referenceOf(params.reference)
    const access = accessFor(tools, address, reference)
    const about = yield* attachmentFor(tools, access, reference, { config, layers: params.layers })
    const put = about === null
      ? pushedManifest({ config, manifest, mediaType }, params.layers)
      : attachedManifest(config, params.layers, about)
    const digest = yield* carrier.publish({
      access,
      subject: about?.subject.digest ?? null,
      repository: reference.path,
      reference: reference.tag ?? digestOf(put.bytes),
      mediaType: put.mediaType,
      manifest: put.bytes,
      blobs: [config],
    }, {
      retrying: (cause, afterMs) =>
        board.tell({ of: address, current: 0, total: 0, retry: { cause, afterMs } }),
    })
    const digests = [`${repositoryOf(reference)}@${digest}`]
    const row = { imageId: image, tags: [], digests }
    return { type: "published", digest, size: put.bytes.length, row }
  })

/**
 * A delta is attached to the image that it makes, where this repository has that: pulls of the
 * image then find it. Null: it is no delta, or has nothing to be attached to.
 */
const attachmentFor = (
  { carrier, store }: Tools,
  access: Access,
  reference: Reference,
  { config, layers }: { readonly config: Uint8Array; readonly layers: readonly Laid[] },
): Effect.Effect<Attachment | null, PullFault> =>
  Effect.gen(function*() {
    const delta = Result.getOrNull(Result.flatMap(parseImageConfig(config), deltaImageOf))
    const subject = delta === null ? null : digestIn(store, reference, delta.targetId)
    if (delta === null || subject === null) return null
    const quiet = { named: () => {}, retrying: () => {} }
    const { manifest, manifestDigest, mediaType } = yield* carrier.resolve({
      repository: reference.path, reference: subject, access, platform: null, bases: [], ...quiet,
    }).pipe(Effect.catchIf(({ reason }) => reason === "notFound", ({ cause }) =>
      new PullFault({
        reason: "notFound",
        cause: `what the delta makes is not in ${familiarRepository(reference)} any more, push it `
          + `again: ${cause}`,
      })))
    const bytes = layers.reduce((sum, { size }) => sum + size, 0)
    return {
      subject: { mediaType, digest: manifestDigest, size: manifest.length },
      notes: { base: delta.baseId, bytes },
    }
  })

/** A delta is small, and made once for many; one of frames is compressed already. */
const packingOf = (config: Uint8Array): Packing => {
  const delta = Result.getOrNull(Result.flatMap(parseImageConfig(config), deltaImageOf))
  if (delta === null) return "gzip"
  return delta.format === "framed" ? "none" : "smallest"
}

/** What a repository calls an image, as far as this engine knows; null: nothing. */
export const digestIn = (
  store: StoreBody,
  reference: Reference,
  imageId: string,
): string | null => {
  const prefix = `${repositoryOf(reference)}@`
  const known = store.images.digests().find(({ reference, image }) =>
    image === imageId && reference.startsWith(prefix))
  return known?.reference.slice(prefix.length) ?? null
}
