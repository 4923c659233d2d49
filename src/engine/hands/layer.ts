import * as Effect from "effect/Effect"
import { type Address, nounOf } from "../../../machines/words.ts"
import {
  Carrier,
  type FetchJob,
  type PullFault,
  type Source,
  type Watch,
} from "../../layers/carrier.ts"
import { Store, type StoreBody } from "../../store/store.ts"
import type { Hands, MachineEvent, Order } from "../hand.ts"
import { type BaseLayer, isDirectory } from "../bases.ts"
import { Keyring } from "../keyring.ts"
import { Loop, type LoopBody } from "../loop.ts"
import { Paths } from "../paths.ts"
import { ProgressBoard } from "../progress.ts"
import { Registries } from "../registries.ts"

/** The extraction child may die (of memory, say): a layer is begun again this often. */
export const CHILDREN_MOST = 5

const tools = Effect.gen(function*() {
  return {
    store: yield* Store,
    loop: yield* Loop,
    carrier: yield* Carrier,
    paths: yield* Paths,
    keyring: yield* Keyring,
    board: yield* ProgressBoard,
    registries: yield* Registries,
  }
})
type Tools = Effect.Success<typeof tools>

/** Hands for layers: what is fetched, extracted, dropped, swept. */
export const layerHands = Effect.map(tools, (tools): Hands => ({
  "layer.fetch": {
    kind: "long",
    run: (order: Order<{ source: KeptSource }>) =>
      order.params.source.kind === "archive" && order.attempt !== "first"
        ? Effect.succeed(interrupted)
        : fetch(tools, order, CHILDREN_MOST),
  },
  "layer.drop": { kind: "short", run: ({ address }) => drop(tools, address) },
  "layer.sweep": {
    kind: "short",
    run: () => Effect.sync(() => sweepLayers(tools.loop, tools.store)),
  },
}))

const credentialsFor = ({ keyring, loop }: Tools, layer: Address) => {
  const waiters = (loop.snapshot(layer)?.context as { waiters?: Address[] } | undefined)?.waiters
  return waiters?.map((one) => keyring.get(one)).find((one) => one !== undefined) ?? null
}

/** A source as the layer's machine keeps it. */
type KeptSource = Source & { readonly base?: readonly BaseLayer[]; readonly whole?: Source }

const jobFor = (tools: Tools, address: Address, source: KeptSource): FetchJob => {
  const { paths, registries, store } = tools
  const row = store.layers.get(address)
  if (row === undefined) throw new Error(`${address} is fetched, but has no row`)
  return {
    job: address,
    diffId: row.diff_id,
    bottom: row.bottom === 1,
    directory: paths.layer(row.id),
    source,
    access: source.kind === "registry"
      ? { ...registries.accessTo(source.host), credentials: credentialsFor(tools, address) }
      : null,
    whole: source.whole ?? null,
    base: source.base?.map((layer) => directoryOf(tools, layer)) ?? null,
    checkpoint: store.layers.checkpointOf(address),
  }
}

const directoryOf = ({ paths, store }: Tools, layer: BaseLayer): string => {
  if (isDirectory(layer)) return layer
  const row = store.layers.get(layer)
  if (row === undefined) throw new Error(`${layer} is leased by a delta, but has no row`)
  return paths.layer(row.id)
}

const watch = ({ board, loop, store }: Tools, of: Address): Watch => ({
  progress: (current, total) => board.tell({ of, current, total, retry: null }),
  retrying: (cause, afterMs) => {
    const { current = 0, total = 0 } = board.last(of) ?? {}
    board.tell({ of, current, total, retry: { cause, afterMs } })
  },
  checkpoint: (states) =>
    loop.write(() => {
      for (const { job, state } of states) store.layers.checkpoint(job, state)
    }),
})

/** Credentials are gone with the crash: say so, not that the registry would not have us. */
const failed = (tools: Tools, order: Order, { reason, cause }: PullFault): MachineEvent => {
  const isLost = reason === "unauthorized" && order.attempt !== "first" &&
    credentialsFor(tools, order.address) === null
  return { type: "fetchFailed", reason: isLost ? "credentials" : reason, cause }
}

const fetch = (
  tools: Tools,
  order: Order<{ source: KeptSource }>,
  children: number,
): Effect.Effect<MachineEvent> =>
  Effect.suspend(() => {
    const { address, params } = order
    return tools.carrier.fetch(jobFor(tools, address, params.source), watch(tools, address))
  }).pipe(
    Effect.map((fetched): MachineEvent =>
      ({ type: "fetched", ...fetched, source: order.params.source })
    ),
    Effect.catch((fault) =>
      fault.reason === "lost" && children > 1
        ? fetch(tools, order, children - 1)
        : Effect.succeed(failed(tools, order, fault))
    ),
    Effect.ensuring(Effect.sync(() => tools.board.end(order.address))),
  )

/** What was spooled for a load is gone with the crash, as is the client who would send it again. */
const interrupted: MachineEvent = {
  type: "fetchFailed",
  reason: "interrupted",
  cause: "the engine stopped while the archive was being loaded: load it again",
}

const drop = ({ carrier, paths, store }: Tools, address: Address): Effect.Effect<MachineEvent> =>
  Effect.suspend(() => {
    const row = store.layers.get(address)
    return row === undefined ? Effect.void : carrier.drop(paths.layer(row.id))
  }).pipe(
    Effect.as<MachineEvent>({ type: "dropped" }),
    Effect.catch(({ cause }) => Effect.succeed({ type: "dropFailed", cause })),
  )

/** Asks each layer that nothing names to go; what names one again meanwhile makes it refuse. */
export const sweepLayers = (loop: LoopBody, store: StoreBody): void => {
  for (const layer of store.unnamedLayers()) {
    if (nounOf(layer) === "layer") loop.post(layer, { type: "drop" })
  }
}
