import * as Effect from "effect/Effect"
import { type Address, nounOf } from "../../../machines/words.ts"
import {
  Carrier, type Credentials, type FetchJob, type PullFault, type Source, type Watch,
} from "../../layers/carrier.ts"
import { Store } from "../../store/store.ts"
import type { Hands, MachineEvent, Order } from "../hand.ts"
import { Keyring } from "../keyring.ts"
import { Loop } from "../loop.ts"
import { Paths } from "../paths.ts"
import { ProgressBoard } from "../progress.ts"
import { Registries } from "../registries.ts"

/** The extraction child may die (of memory, say): the layer is begun again this often. */
const CHILDREN_MOST = 5

/** Credentials of the first image that waits for a layer and has any. */
const keysTo = Effect.gen(function*() {
  const loop = yield* Loop
  const keyring = yield* Keyring
  return (layer: Address): Credentials | null => {
    const waiters = (loop.snapshot(layer)?.context as { waiters?: Address[] } | undefined)?.waiters
    return waiters?.map((one) => keyring.get(one)).find((one) => one !== undefined) ?? null
  }
})

/** The job that a layer's row and its source describe. */
const jobs = Effect.gen(function*() {
  const store = yield* Store
  const paths = yield* Paths
  const registries = yield* Registries
  const credentialsFor = yield* keysTo
  return (address: Address, source: Source): FetchJob => {
    const row = store.layers.get(address)
    if (row === undefined) throw new Error(`${address} is fetched, but has no row`)
    return {
      job: address,
      diffId: row.diff_id,
      bottom: row.bottom === 1,
      directory: paths.layer(row.id),
      source,
      access: source.kind === "registry"
        ? { ...registries.accessTo(source.host), credentials: credentialsFor(address) }
        : null,
      checkpoint: store.layers.checkpointOf(address),
    }
  }
})

/** What is done with the news of a fetch. */
const watches = Effect.gen(function*() {
  const store = yield* Store
  const loop = yield* Loop
  const board = yield* ProgressBoard
  return (layer: Address): Watch => ({
    progress: (current, total) => board.tell({ layer, current, total, retry: null }),
    retrying: (cause, afterMs) => {
      const last = board.last(layer)
      board.tell({
        layer,
        current: last?.current ?? 0,
        total: last?.total ?? 0,
        retry: { cause, afterMs },
      })
    },
    checkpoint: (states) =>
      loop.write(() => {
        for (const { job, state } of states) store.layers.checkpoint(job, state)
      }),
  })
})

/** What was spooled for a load is gone with the crash, and so is the client who would resend it. */
const INTERRUPTED: MachineEvent = {
  type: "fetchFailed",
  reason: "interrupted",
  cause: "the engine stopped while the archive was being loaded: load it again",
}

/** What is fetched and extracted. */
const fetching = Effect.gen(function*() {
  const carrier = yield* Carrier
  const board = yield* ProgressBoard
  const credentialsFor = yield* keysTo
  const jobFor = yield* jobs
  const watch = yield* watches

  /** Credentials that are gone with the crash: say so, not that the registry refused us. */
  const failed = (order: Order, fault: PullFault): MachineEvent => ({
    type: "fetchFailed",
    reason: fault.reason === "unauthorized" && order.attempt !== "first"
        && credentialsFor(order.address) === null
      ? "credentials"
      : fault.reason,
    cause: fault.cause,
  })

  const fetch = (order: Order<{ source: Source }>, children: number): Effect.Effect<MachineEvent> =>
    Effect.suspend(() =>
      carrier.fetch(jobFor(order.address, order.params.source), watch(order.address))
    ).pipe(
      Effect.map((fetched): MachineEvent => ({ type: "fetched", ...fetched })),
      Effect.catch((fault) =>
        fault.reason === "lost" && children > 1
          ? fetch(order, children - 1)
          : Effect.succeed(failed(order, fault))
      ),
      Effect.ensuring(Effect.sync(() => board.end(order.address))),
    )

  const hands: Hands = {
    "layer.fetch": {
      kind: "long",
      run: (order) =>
        order.params.source.kind === "archive" && order.attempt !== "first"
          ? Effect.succeed(INTERRUPTED)
          : fetch(order, CHILDREN_MOST),
    },
  }
  return hands
})

/** What is dropped, and what asks for it. */
const dropping = Effect.gen(function*() {
  const store = yield* Store
  const loop = yield* Loop
  const carrier = yield* Carrier
  const paths = yield* Paths

  const hands: Hands = {
    "layer.drop": {
      kind: "short",
      run: ({ address }) =>
        Effect.suspend(() => {
          const row = store.layers.get(address)
          return row === undefined ? Effect.void : carrier.drop(paths.layer(row.id))
        }).pipe(
          Effect.as<MachineEvent>({ type: "dropped" }),
          Effect.catch((fault) => Effect.succeed({ type: "dropFailed", cause: fault.cause })),
        ),
    },
    "layer.sweep": {
      kind: "short",
      run: () =>
        Effect.sync(() => {
          for (const layer of store.unnamedLayers()) {
            if (nounOf(layer) === "layer") loop.post(layer, { type: "drop" })
          }
        }),
    },
  }
  return hands
})

/** Hands for layers: what is fetched, extracted, dropped, swept. */
export const layerHands = Effect.gen(function*() {
  const hands: Hands = { ...yield* fetching, ...yield* dropping }
  return hands
})
