import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { AnyMachineSnapshot } from "xstate"
import { comesBack, type ContainerMemory } from "../../../machines/container.ts"
import { bundleOf } from "../../kernel/bundle.ts"
import type { Terms } from "../../oci/terms.ts"
import type { ContainerRow, ContainerState } from "../../store/containers.ts"
import { Store, type StoreBody } from "../../store/store.ts"
import { Loop } from "../loop.ts"
import type { NetworkState } from "../networks.ts"
import { Paths } from "../paths.ts"

/** A name that leads to no container, or to several. */
export class ContainerNameFault
  extends Schema.TaggedError<ContainerNameFault>()("ContainerNameFault", {
    reason: Schema.Literals(["notFound", "ambiguous"]),
    name: Schema.String,
  })
{}

/** A container's state in one word, as its clients know it. */
export type Status =
  | "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead"

/** A container as it is looked at. `given` is its client's own JSON. */
export interface ContainerView {
  readonly id: string
  readonly name: string
  /** `sha256:…` */
  readonly image: string
  readonly imageName: string
  readonly createdMs: number
  readonly terms: Terms
  readonly given: unknown
  readonly status: Status
  readonly state: ContainerState
  readonly network: NetworkState | null
  /** How long it has been running, by a clock nobody sets; 0: it does not. */
  readonly upMs: number
  /** Where its own files are, and the directories of its image, uppermost first. */
  readonly home: string
  readonly lower: () => readonly string[]
  /** Where its root file system is mounted while it runs. */
  readonly rootfs: string
}

/** Finds a container by ID, then by name, then by the beginning of its ID, as Docker does. */
export const findContainer = (name: string) =>
  Effect.flatMap(Store, (store): Effect.Effect<ContainerRow, ContainerNameFault> => {
    const found = find(store, name)
    return typeof found === "string"
      ? Effect.fail(new ContainerNameFault({ reason: found, name }))
      : Effect.succeed(found)
  })

const ID = /^[0-9a-f]{1,64}$/

function find(store: StoreBody, asked: string): ContainerRow | "notFound" | "ambiguous" {
  const name = asked.replace(/^\//, "")
  const byName = () => {
    const id = store.containers.byName(name)
    return id === undefined ? undefined : store.containers.get(id)
  }
  const whole = (name.length === 64 ? store.containers.get(name) : undefined) ?? byName()
  if (whole !== undefined) return whole
  const [first, second] = ID.test(name) ? store.containers.byPrefix(name) : []
  if (second !== undefined) return "ambiguous"
  return (first === undefined ? undefined : store.containers.get(first)) ?? "notFound"
}

/** Finds the IDs of containers by their names; null: none, or several. */
export const containerIds = Effect.map(Store, (store) => (name: string): string | null => {
  const found = find(store, name)
  return typeof found === "string" ? null : found.id
})

/**
 * The word for a state. One that has never run is `created` whatever was tried with it; one that is
 * being started again is what it was until it runs.
 */
export function statusOf(snapshot: AnyMachineSnapshot | undefined, state: ContainerState): Status {
  const rest = state.startedMs === 0 ? "created" : "exited"
  if (snapshot === undefined) return rest
  if (snapshot.hasTag("paused") || snapshot.matches({ running: "thawing" })) return "paused"
  if (snapshot.hasTag("running")) return "running"
  const memory: ContainerMemory = snapshot.context
  if (snapshot.matches("starting")) return memory.failures > 0 ? "restarting" : rest
  // It has not exited for good: nobody may see that in passing, and take it for the end.
  if (snapshot.matches("cleaning") && comesBack(memory)) return "restarting"
  if (snapshot.matches("restarting")) return "restarting"
  if (snapshot.matches("removing") || snapshot.matches("leaving")) return "removing"
  return snapshot.matches("dead") ? "dead" : rest
}

const viewing = Effect.gen(function*() {
  const store = yield* Store
  const loop = yield* Loop
  const paths = yield* Paths
  const { monoMs } = loop.now()
  return (row: ContainerRow): ContainerView => {
    const { startedMonoMs, pid } = row.state
    return {
      id: row.id,
      name: row.name,
      image: row.image,
      imageName: row.imageName,
      createdMs: row.createdMs,
      terms: row.terms as Terms,
      given: row.given,
      status: statusOf(loop.snapshot(`container/${row.id}`), row.state),
      state: row.state,
      network: row.state.network as NetworkState | null,
      upMs: pid === 0 ? 0 : Math.max(0, monoMs - startedMonoMs),
      home: paths.container(row.id),
      lower: () =>
        row.layers.flatMap((address) => {
          const layer = store.layers.get(address)
          return layer === undefined ? [] : [`${paths.layer(layer.id)}/diff`]
        }).reverse(),
      rootfs: bundleOf(paths.execRoot, row.id).rootfs,
    }
  }
})

/** One container, by any of its names. */
export const viewContainer = (name: string) =>
  Effect.flatMap(findContainer(name), (row) => Effect.map(viewing, (view) => view(row)))

/** Every container, newest first. */
export const listContainers = Effect.gen(function*() {
  const store = yield* Store
  return store.containers.all().map(yield* viewing)
})
