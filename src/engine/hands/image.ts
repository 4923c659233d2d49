import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Needed } from "../../../machines/image.ts"
import { type Address, layerAddress } from "../../../machines/words.ts"
import { Directories } from "../../kernel/directories.ts"
import {
  Carrier, type Credentials, type DeltaOffer, PullFault, type Resolved,
} from "../../layers/carrier.ts"
import { shortage } from "../../layers/space.ts"
import {
  formatReference,
  parseReference,
  type Reference,
  repositoryOf,
} from "../../oci/reference.ts"
import type { ImageCargo, NamesCargo } from "../../store/images.ts"
import { Store, type StoreBody } from "../../store/store.ts"
import type { Hands, MachineEvent, Order } from "../hand.ts"
import { Bases, type BaseLayer, isDirectory } from "../bases.ts"
import { Keyring } from "../keyring.ts"
import { Paths } from "../paths.ts"
import { ProgressBoard } from "../progress.ts"
import { type Place, Registries } from "../registries.ts"

interface Wanted {
  readonly reference: string
  readonly platform: string | null
}

const namesOf = (reference: Reference, digest: string) => ({
  tags: reference.digest === null ? [formatReference(reference)] : [],
  digests: [`${repositoryOf(reference)}@${digest}`],
})

/** A delta that makes what is asked for, of an image whose layers are `base`. */
interface Found {
  readonly base: readonly BaseLayer[]
  /** It was not asked for: its layers stand for those of the image that was. */
  readonly chosen: { readonly offer: DeltaOffer; readonly layers: Resolved["layers"] } | null
}

/** What a registry says of a reference, as an event: the layers it needs, and the rows as cargo. */
const resolvedEvent = (
  reference: Reference,
  found: Resolved,
  delta: Found | null,
): MachineEvent => {
  const row: ImageCargo = {
    config: found.config,
    manifest: found.manifest,
    mediaType: found.mediaType,
    ...namesOf(reference, found.digest),
    leased: leasedOf(delta?.base ?? null),
  }
  const chosen = delta?.chosen ?? null
  const layers = neededOf(chosen?.layers ?? found.layers, delta?.base ?? null)
  return {
    type: "resolved",
    imageId: found.imageId,
    digest: found.digest,
    layers: chosen === null ? layers : layers.map(({ address, source }, n) => ({
      address,
      source: { ...source, whole: found.layers[n]!.source },
    })),
    delta: chosen?.offer ?? null,
    row,
  }
}

const presentEvent = (reference: Reference, imageId: string, digest: string): MachineEvent => {
  const row: NamesCargo = { imageId, ...namesOf(reference, digest) }
  return { type: "present", imageId, digest, row }
}

/** The layers an image needs, lowest first, as its machine is told. */
export const neededOf = (
  layers: Resolved["layers"],
  base: readonly BaseLayer[] | null,
): readonly Needed[] =>
  layers.map(({ diffId, source }, position) => ({
    address: layerAddress(diffId, position === 0),
    source: base === null ? source : { ...source, base },
  }))

/** Layers of our own that a delta reads: they stay until it is applied. */
export const leasedOf = (base: readonly BaseLayer[] | null): readonly Address[] =>
  (base ?? []).filter((layer) => !isDirectory(layer))

const tools = Effect.gen(function*() {
  return {
    store: yield* Store,
    carrier: yield* Carrier,
    keyring: yield* Keyring,
    registries: yield* Registries,
    directories: yield* Directories,
    paths: yield* Paths,
    board: yield* ProgressBoard,
    bases: yield* Bases,
  }
})
type Tools = Effect.Success<typeof tools>

/** Hands for images in the making: what a reference names is asked of its registry. */
export const imageHands = Effect.map(tools, (tools): Hands => ({
  "image.resolve": { kind: "long", run: (order: Order<Wanted>) => resolve(tools, order) },
}))

const resolve = (tools: Tools, order: Order<Wanted>): Effect.Effect<MachineEvent> => {
  const parsed = parseReference(order.params.reference)
  if (Result.isFailure(parsed)) return Effect.succeed(failed("unsupported", parsed.failure.cause))
  const reference = parsed.success
  return Effect.flatMap(tools.bases.ids, (here) => askPlaces(tools, order, reference, here)).pipe(
    Effect.flatMap((found) => {
      const here = presentAs(tools.store, found)
      if (here !== null) return Effect.succeed(presentEvent(reference, here, found.digest))
      return Effect.gen(function*() {
        const delta = found.delta === null
          ? yield* choose(tools, order, reference, found)
          : { base: yield* tools.bases.find(found.delta.base), chosen: null }
        yield* ensureRoom(tools, found)
        return resolvedEvent(reference, found, delta)
      })
    }),
    Effect.catch(({ reason, cause }) => {
      // Credentials are gone with a crash: say so, not that the registry would not have us.
      const isLost = reason === "unauthorized" && order.attempt !== "first" &&
        !tools.keyring.has(order.address)
      return Effect.succeed(failed(isLost ? "credentials" : reason, cause))
    }),
    Effect.ensuring(Effect.sync(() => tools.board.end(order.address))),
  )
}

/**
 * Which image is here already: what was asked for; or a delta that was never applied, as on the
 * machine that made it, if that is asked for.
 */
export const presentAs = (
  store: StoreBody,
  { imageId, delta }: Pick<Resolved, "imageId" | "delta">,
): string | null =>
  [imageId, delta?.imageId].find((id) => id !== undefined && store.images.get(id) !== undefined) ??
    null

/**
 * The cheapest of the deltas that a registry has for an image, if that is less than what is missing
 * of its layers. Whatever is wrong with it, the image itself is there.
 */
const choose = (
  tools: Tools,
  order: Order<Wanted>,
  reference: Reference,
  found: Resolved,
): Effect.Effect<Found | null> => {
  const [offer] = found.offers.toSorted((a, b) => a.bytes - b.bytes)
  if (offer === undefined || offer.bytes >= missingBytes(tools, found)) return Effect.succeed(null)
  return Effect.gen(function*() {
    const wanted = { ...reference, tag: null, digest: offer.digest }
    const { imageId, delta, layers } = yield* askPlaces(tools, order, wanted, [])
    const isFor = imageId === found.imageId && delta?.base === offer.base &&
      layers.length === found.layers.length
    if (!isFor) return null
    return { base: yield* tools.bases.find(offer.base), chosen: { offer, layers } }
  }).pipe(
    Effect.catch(({ cause }) =>
      Effect.as(Effect.logInfo(`${order.address}: no delta: ${cause}`), null)
    ),
  )
}

const failed = (reason: string, cause: string): MachineEvent =>
  ({ type: "resolveFailed", reason, cause })

/** Asks the hub's mirrors in turn; at last the registry itself, which alone may know who asks. */
const askPlaces = (
  { board, carrier, keyring, registries }: Tools,
  { address, params }: Order<Wanted>,
  { domain, path, tag, digest }: Reference,
  bases: readonly string[],
): Effect.Effect<Resolved, PullFault> => {
  const found = { of: address, current: 0, total: 0 }
  const ask = (place: Place, credentials: Credentials | null) =>
    carrier.resolve({
      repository: path,
      reference: digest ?? tag ?? "latest",
      access: { ...place, credentials },
      platform: params.platform,
      bases,
      named: () => board.tell({ ...found, retry: null }),
      retrying: (cause, afterMs) => {
        // Before it is found, nobody has been answered yet: there is no stream to say it in.
        if (board.last(address) !== undefined) board.tell({ ...found, retry: { cause, afterMs } })
      },
    })
  const places = registries.placesOf(domain)
  const registry = ask(places.at(-1)!, keyring.get(address) ?? null)
  return places.slice(0, -1).reduceRight(
    (next, mirror) => Effect.catch(ask(mirror, null), () => next),
    registry,
  )
}

/**
 * Refuses before the first byte what certainly cannot fit: a layer never takes less room than its
 * blob. Of a layer that has a row some may be here already.
 */
const ensureRoom = (tools: Tools, found: Resolved) =>
  Effect.gen(function*() {
    const { directories, paths } = tools
    const bytes = missingBytes(tools, found)
    const cause = shortage(yield* directories.free(paths.dataRoot), bytes)
    if (cause !== null) return yield* new PullFault({ reason: "noSpace", cause })
  })

/** Of the layers that have no row, as they are sent. */
const missingBytes = ({ store }: Tools, { layers }: Resolved): number =>
  layers
    .filter(({ diffId }, position) =>
      store.layers.get(layerAddress(diffId, position === 0)) === undefined)
    .reduce((sum, { source }) => sum + source.size, 0)
