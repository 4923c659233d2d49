import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { Address } from "../../../machines/words.ts"
import { type Credentials, PullFault } from "../../layers/carrier.ts"
import { formatReference, type Reference } from "../../oci/reference.ts"
import { Store } from "../../store/store.ts"
import { Keyring } from "../keyring.ts"
import { Loop } from "../loop.ts"
import { type Progress, ProgressBoard } from "../progress.ts"
import type { Transition } from "../step.ts"

/** One layer of an image in the making, as its watchers see it. */
export interface LayerNews {
  readonly address: Address
  /** Of the compressed blob where there is one; else of nothing better than the layer itself. */
  readonly digest: string
  /** Compressed bytes. */
  readonly size: number
}

/** What a watcher of a pull is told, in order. */
export type PullNews =
  /** What is asked for exists: from here on a failure is news as well. */
  | { readonly kind: "named"; readonly retry: Progress["retry"] }
  | { readonly kind: "layers"; readonly layers: readonly LayerNews[] }
  | { readonly kind: "progress"; readonly progress: Progress }
  /** `existed`: it was here before, nothing was fetched. */
  | { readonly kind: "ready"; readonly layer: Address; readonly existed: boolean }

export interface Pulled {
  readonly imageId: string
  readonly digest: string
  /** Nothing was new: the image was here, and only its names have moved. */
  readonly present: boolean
}

/** A pull goes on this long after its last client has gone; then it is parked. */
const GRACE_MS = 30_000

interface Made {
  readonly imageId: string
  readonly digest: string
  readonly failure: { readonly reason: string; readonly cause: string } | null
}

/** How a pull ended, if this transition ended it. */
export const outcomeOf = ({ snapshot, done }: Transition): Pulled | PullFault | undefined => {
  const { imageId, digest, failure } = snapshot.context as Made
  if (snapshot.matches("ready")) return { imageId, digest, present: false }
  if (snapshot.matches("present")) return { imageId, digest, present: true }
  if (!done && !snapshot.matches("parked")) return undefined
  const reason = failure?.reason === "credentials" ? "unauthorized" : failure?.reason ?? "lost"
  const cause = failure?.cause ?? "the pull was given up"
  return new PullFault({ reason: reason as PullFault["reason"], cause })
}

const layersOf = (transition: Transition): readonly LayerNews[] | undefined => {
  if (transition.event.type !== "resolved" && transition.event.type !== "load") return undefined
  const layers = transition.event["layers"] as {
    address: Address
    source: { digest?: string; size: number }
  }[]
  return layers.map(({ address, source }) => ({
    address,
    digest: source.digest ?? address.slice("layer/".length),
    size: source.size,
  }))
}

/**
 * Tells the news of one image in the making, from its transitions and the board of its layers.
 * Lives as long as the scope.
 */
export const watchImage = (
  address: Address,
  tell: (news: PullNews) => void,
): Effect.Effect<void, never, Scope.Scope | Loop | ProgressBoard | Store> =>
  Effect.gen(function*() {
    const loop = yield* Loop
    const board = yield* ProgressBoard
    const mine = new Set<Address>()
    const fetched = new Set<Address>()
    const stopLoop = loop.listen((transition) => {
      if (transition.event.type === "fetched") fetched.add(transition.address)
      if (transition.address !== address) return
      const layers = layersOf(transition)
      if (layers !== undefined) {
        for (const layer of layers) mine.add(layer.address)
        tell({ kind: "layers", layers })
      } else if (transition.event.type === "layerReady") {
        const layer = transition.event["from"] as Address
        tell({ kind: "ready", layer, existed: !fetched.has(layer) })
      }
    })
    const stopBoard = board.listen((progress) => {
      if (progress.of === address) tell({ kind: "named", retry: progress.retry })
      else if (mine.has(progress.of)) tell({ kind: "progress", progress })
    })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        stopLoop()
        stopBoard()
      })
    )
    if (board.last(address) !== undefined) tell({ kind: "named", retry: null })
    const joined = layersInFlight(loop, yield* Store, address)
    if (joined.length === 0) return
    for (const layer of joined) mine.add(layer.address)
    tell({ kind: "layers", layers: joined })
    for (const layer of joined) {
      const progress = board.last(layer.address)
      if (progress !== undefined) tell({ kind: "progress", progress })
    }
  })

/**
 * The layers of a pull that others have begun: whoever joins it sees where it stands. One that is
 * parked begins with its registry's answer, like a new one.
 */
const layersInFlight = (
  loop: Loop["Service"],
  store: Store["Service"],
  address: Address,
): readonly LayerNews[] => {
  const isFetching = loop.snapshot(address)?.matches("fetching") === true
  const staged = isFetching ? store.images.staged(address) : undefined
  return (staged?.layers ?? []).map((layer) => {
    const { source } = (loop.snapshot(layer)?.context ?? {}) as {
      source?: { digest?: string; size?: number }
    }
    return {
      address: layer,
      digest: source?.digest ?? layer.slice("layer/".length),
      size: source?.size ?? 0,
    }
  })
}

/** Who watches a pull: a new one with every client that comes or leaves. */
interface Watched {
  readonly clients: number
}

/** The pulls that clients watch, and those whose last one has left, for the grace. */
export class Watchers
  extends Context.Service<Watchers, Map<Address, Watched>>()("engine/Watchers") {}

/** Counts a client for as long as the scope lives; the last one to leave starts the grace anew. */
const attend = (address: Address) =>
  Effect.gen(function*() {
    const watchers = yield* Watchers
    const loop = yield* Loop
    const keyring = yield* Keyring
    const count = (change: 1 | -1): Watched => {
      const watched = { clients: (watchers.get(address)?.clients ?? 0) + change }
      watchers.set(address, watched)
      return watched
    }
    count(1)
    const abandon = (left: Watched) =>
      Effect.gen(function*() {
        yield* Effect.sleep(GRACE_MS)
        if (watchers.get(address) !== left) return // somebody came since: his leaving counts
        watchers.delete(address)
        yield* Effect.ignore(loop.ask(address, { type: "abandon" }, () => true))
        keyring.delete(address)
      })
    const leave = Effect.suspend(() => {
      const left = count(-1)
      if (left.clients > 0) return Effect.void
      if (loop.snapshot(address) !== undefined) return Effect.forkDetach(abandon(left))
      watchers.delete(address)
      return Effect.void
    })
    yield* Effect.addFinalizer(() => leave)
  })

/**
 * Pulls an image, or joins a pull of the same reference that is under way. Interrupting it means
 * the client has gone: the pull goes on for the grace, then parks with all that has come.
 */
export const pull = (
  wanted: {
    readonly reference: Reference
    readonly platform: string | null
    readonly credentials: Credentials | null
  },
  tell: (news: PullNews) => void,
) =>
  Effect.scoped(Effect.gen(function*() {
    const loop = yield* Loop
    const keyring = yield* Keyring
    const reference = formatReference(wanted.reference)
    const { platform } = wanted
    const address = `image/${reference}${platform === null ? "" : `?platform=${platform}`}`
    if (wanted.credentials !== null) keyring.set(address, wanted.credentials)
    yield* attend(address)
    yield* watchImage(address, tell)
    const outcome = yield* Effect.onExit(
      loop.ask(address, { type: "pull", reference, platform }, outcomeOf),
      // One that is interrupted may be taken up again within the grace.
      (exit) => Effect.sync(() => Exit.hasInterrupts(exit) || keyring.delete(address)),
    )
    return outcome instanceof PullFault ? yield* Effect.fail(outcome) : outcome
  }))

export { type Credentials, PullFault }
