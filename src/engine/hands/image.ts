import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Needed } from "../../../machines/image.ts"
import { type Address, layerAddress } from "../../../machines/words.ts"
import { Directories } from "../../kernel/directories.ts"
import { Carrier, type Credentials, PullFault, type Resolved } from "../../layers/carrier.ts"
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

/**
 * What a registry says of a reference, as an event: the layers it needs, and the rows as cargo.
 * `base`: layers of the image that it is a delta against, if it is one.
 */
const resolvedEvent = (
  reference: Reference,
  found: Resolved,
  base: readonly BaseLayer[] | null,
): MachineEvent => {
  const row: ImageCargo = {
    config: found.config,
    manifest: found.manifest,
    mediaType: found.mediaType,
    ...namesOf(reference, found.digest),
    leased: leasedOf(base),
  }
  const layers = neededOf(found.layers, base)
  return { type: "resolved", imageId: found.imageId, digest: found.digest, layers, row }
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
  return askPlaces(tools, order, reference).pipe(
    Effect.flatMap((found) => {
      const here = presentAs(tools.store, found)
      if (here !== null) return Effect.succeed(presentEvent(reference, here, found.digest))
      return Effect.gen(function*() {
        const base = found.delta === null ? null : yield* tools.bases.find(found.delta.base)
        yield* ensureRoom(tools, found)
        return resolvedEvent(reference, found, base)
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

const failed = (reason: string, cause: string): MachineEvent =>
  ({ type: "resolveFailed", reason, cause })

/** Asks the hub's mirrors in turn; at last the registry itself, which alone may know who asks. */
const askPlaces = (
  { board, carrier, keyring, registries }: Tools,
  { address, params }: Order<Wanted>,
  { domain, path, tag, digest }: Reference,
): Effect.Effect<Resolved, PullFault> => {
  const found = { of: address, current: 0, total: 0 }
  const ask = (place: Place, credentials: Credentials | null) =>
    carrier.resolve({
      repository: path,
      reference: digest ?? tag ?? "latest",
      access: { ...place, credentials },
      platform: params.platform,
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
const ensureRoom = ({ directories, paths, store }: Tools, { layers }: Resolved) =>
  Effect.gen(function*() {
    const missing = layers.filter(({ diffId }, position) =>
      store.layers.get(layerAddress(diffId, position === 0)) === undefined)
    const bytes = missing.reduce((sum, { source }) => sum + source.size, 0)
    const cause = shortage(yield* directories.free(paths.dataRoot), bytes)
    if (cause !== null) return yield* new PullFault({ reason: "noSpace", cause })
  })
