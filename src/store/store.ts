import * as Context from "effect/Context"
import { type Address, keyOf } from "../../machines/words.ts"
import { type ContainerRow, Containers } from "./containers.ts"
import { Database } from "./database.ts"
import { Distribution, type KnownBlob, type RepositoryPlace } from "./distribution.ts"
import { type ImageCargo, Images, type NamesCargo, type RemovalCargo } from "./images.ts"
import { Journal, type Moment } from "./journal.ts"
import { Layers } from "./layers.ts"
import { unreachable } from "./sweep.ts"

type Act = (address: Address, params: any, at: Moment) => void

/**
 * All that is remembered. The domain's changes are `store.*` commands, applied inside the savepoint
 * of the step that asked for them, so that no machine can say done where the rows say otherwise.
 */
export class StoreBody {
  readonly db: Database
  readonly journal: Journal
  readonly images: Images
  readonly layers: Layers
  readonly containers: Containers
  readonly distribution: Distribution

  constructor(db: Database) {
    this.db = db
    this.journal = new Journal(db)
    this.images = new Images(db)
    this.layers = new Layers(db)
    this.containers = new Containers(db)
    this.distribution = new Distribution(db)
  }

  /**
   * Carries out one `store.*` command. Throws `Refusal` where a request must be refused: the
   * caller's savepoint then takes everything back. For an answer it is total.
   */
  apply(address: Address, name: string, params: unknown, at: Moment): void {
    const act = this.#acts[name]
    if (act === undefined) throw new Error(`no such command: ${name}`)
    act(address, params, at)
  }

  /** Layers that no image, container or pull names. */
  unnamedLayers(): Set<Address> {
    const all = this.layers.all().map((row) => row.address)
    const holders = this.layers.leases()
    const edges = [
      ...this.layers.edges().map(({ image, layer }) => [image, layer] as const),
      ...holders.map(({ kept, holder }) => [holder, kept] as const),
    ]
    const roots = [...this.images.all().map((row) => row.id), ...holders.map((row) => row.holder)]
    return unreachable(all, roots, edges)
  }

  readonly #acts: Readonly<Record<string, Act>> = {
    "store.layerStaged": (address) => this.layers.stage(address),
    "store.layerReady": (address, { bytes, tarBytes, source }) => {
      this.layers.ready(address, bytes, tarBytes)
      // A delta's blob is not the layer's, though the layer was made of it.
      const isOwn = source.kind === "registry" && source.base === undefined
      if (isOwn) this.distribution.note(address, source, source)
    },
    "store.layerDropping": (address) => this.layers.refuseIfNamed(address),
    "store.layerUnready": (address) => this.layers.unready(address),
    "store.layerForget": (address) => this.layers.forget(address),

    "store.imageStaged": (address, { imageId, layers, row }: {
      imageId: string
      layers: Address[]
      row: ImageCargo
    }) => {
      this.images.stage(address, imageId, layers, row)
      for (const layer of [...layers, ...row.leased]) this.layers.lease(layer, address)
    },
    "store.imageReady": (address, _, at) => {
      this.images.publish(address, at.wallMs)
      this.layers.release(address)
    },
    "store.imagePresent": (_, { row }: { row: NamesCargo }, at) => {
      // Removed since it was looked up? Then that removal simply came after this pull.
      if (this.images.get(row.imageId) !== undefined) this.images.name(row, at.wallMs)
    },
    "store.imageUnstaged": (address) => {
      this.images.unstage(address)
      this.layers.release(address)
    },
    "store.imageTagged": (_, { row }: { row: NamesCargo }, at) => this.images.name(row, at.wallMs),
    "store.imageRemoved": (_, { row }: { row: RemovalCargo }) => this.images.remove(row),

    "store.deltaStaged": (address, { layers }: { layers: readonly Address[] }) => {
      for (const layer of layers) this.layers.lease(layer, address)
    },
    "store.deltaUnstaged": (address) => this.layers.release(address),
    "store.pushStaged": (address, { imageId }: { imageId: string }) => {
      const layers = this.images.layers(imageId)
      this.images.restage(address, imageId, layers)
      for (const layer of layers) this.layers.lease(layer, address)
    },
    "store.blobKnown": (_, { layer, place, blob }: {
      layer: Address
      place: RepositoryPlace
      blob: KnownBlob
    }) => this.distribution.note(layer, place, blob),

    "store.containerCreate": (address, { row }: { row: Omit<ContainerRow, "state"> }) => {
      this.containers.create(row)
      for (const layer of row.layers) this.layers.lease(layer, address)
    },
    "store.containerRunning": (address, { pid, startTicks, row }, at) =>
      this.containers.change(keyOf(address), {
        pid,
        startTicks,
        startedMs: at.wallMs,
        startedMonoMs: at.monoMs,
        error: "",
        oomKilled: false,
        network: row.network ?? null,
      }),
    "store.containerExited": (address, { exitCode, oomKilled, cause }, at) =>
      this.containers.change(keyOf(address), {
        pid: 0,
        startTicks: 0,
        ...(cause === "" ? { finishedMs: at.wallMs } : {}), // else there was nothing to finish
        exitCode,
        oomKilled,
        error: cause,
        network: null,
      }),
    "store.containerRestarting": (address) => {
      const restarts = this.containers.get(keyOf(address))?.state.restarts ?? 0
      this.containers.change(keyOf(address), { restarts: restarts + 1 })
    },
    "store.containerRename": (address, { name }) => this.containers.rename(keyOf(address), name),
    "store.containerUpdate": (address, { row }) =>
      this.containers.agree(keyOf(address), row.terms, row.given),
    "store.containerForget": (address) => {
      this.containers.forget(keyOf(address))
      this.layers.release(address)
    },
  }
}

/** The one store. Synchronous: reading is cheap, and only the loop writes. */
export class Store extends Context.Service<Store, StoreBody>()("store/Store") {}
