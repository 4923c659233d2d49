import * as Effect from "effect/Effect"
import { keyOf } from "../../../machines/words.ts"
import { type RunFault, Runtime, StartFault, type Started } from "../../kernel/runtime.ts"
import type { Terms } from "../../oci/terms.ts"
import type { ContainerRow } from "../../store/containers.ts"
import { Store } from "../../store/store.ts"
import type { Hands, MachineEvent, Order } from "../hand.ts"
import { Loop } from "../loop.ts"
import { Networks, type NetworkState } from "../networks.ts"
import { Paths } from "../paths.ts"
import { Planner } from "../planner.ts"
import { makeSources } from "./sources.ts"

const EXIT_ENGINE = 125
/** What the kernel refuses although it must not is tried again this often, ever more slowly. */
const TRIES_MOST = 8
const pauseMs = (left: number): number => 100 * 2 ** (TRIES_MOST - left)
/** dockerd's restart manager takes a container for steady after 10 s. */
const STEADY_MS = 10_000

const tools = Effect.gen(function*() {
  return {
    store: yield* Store,
    loop: yield* Loop,
    runtime: yield* Runtime,
    networks: yield* Networks,
    planner: yield* Planner,
    paths: yield* Paths,
  }
})
type Tools = Effect.Success<typeof tools>

/** Hands for containers: each finds all it needs in the container's row. */
export const containerHands = Effect.map(tools, (tools): Hands => ({
  "run.start": { kind: "short", run: (order) => start(tools, order) },
  "run.wait": { kind: "long", run: (order) => wait(tools, order) },
  "run.signal": { kind: "short", run: (order) => signalRow(tools, order, TRIES_MOST) },
  "run.kill": {
    kind: "once",
    lost: { type: "killLost" },
    run: (order) => Effect.as(signal(tools, idOf(order), order.params.signal), { type: "killed" }),
  },
  "run.freeze": { kind: "short", run: (order) => truth(tools, idOf(order), "freeze") },
  "run.thaw": { kind: "short", run: (order) => truth(tools, idOf(order), "thaw") },
  "run.clean": {
    kind: "short",
    run: (order) => tools.networks.leave(idOf(order), clean(tools, idOf(order), TRIES_MOST)),
  },
  "run.delete": {
    kind: "short",
    run: (order) => tools.networks.leave(idOf(order), remove(tools, idOf(order))),
  },
}))

const idOf = (order: Order): string => keyOf(order.address)

const rowOf = ({ store }: Tools, id: string): ContainerRow => {
  const row = store.containers.get(id)
  if (row === undefined) throw new Error(`container ${id} has no row`)
  return row
}

const processOf = (tools: Tools, id: string): Started => {
  const { pid, startTicks } = rowOf(tools, id).state
  return { pid, startTicks }
}

const failed = (exitCode: number, cause: string): MachineEvent =>
  ({ type: "startFailed", exitCode, cause })

/** A client that waited for this start is gone; whether it runs again is for its policy to say. */
const lostToReboot = failed(255, "the machine was restarted while the container was being started")

const start = (tools: Tools, order: Order): Effect.Effect<MachineEvent> =>
  Effect.gen(function*() {
    if (order.attempt === "after-reboot") return lostToReboot
    const { networks, paths, planner, runtime } = tools
    const id = idOf(order)
    // A run whose clean was given up would be taken for this one; else there is nothing to do.
    if (order.attempt === "first") {
      yield* Effect.mapError(runtime.clean(id, paths.container(id)), ({ cause }) =>
        new StartFault({ exitCode: EXIT_ENGINE, cause }))
    }
    const row = rowOf(tools, id)
    yield* makeSources(row.terms as Terms)
    const claimed = yield* networks.claim(row, row.terms as Terms)
    const { pid, startTicks, endpoint } = yield* runtime.start(planner.plan(row, claimed))
    // One that an earlier daemon had started already has what that one claimed for it.
    const network = endpoint as NetworkState | null
    if (network !== null) networks.hold(id, network)
    yield* networks.publish(id)
    return { type: "started", pid, startTicks, row: { network } }
  }).pipe(Effect.catch((fault) => Effect.succeed(failed(fault.exitCode, fault.cause))))

const wait = (tools: Tools, order: Order): Effect.Effect<MachineEvent> =>
  Effect.gen(function*() {
    const { loop, paths, runtime } = tools
    const id = idOf(order)
    const { startedMonoMs } = rowOf(tools, id).state
    const exit = yield* runtime.wait(id, paths.container(id), processOf(tools, id))
    const ranMs = order.attempt === "after-reboot" ? STEADY_MS : loop.now().monoMs - startedMonoMs
    return { type: "exited", exitCode: exit.exitCode, oomKilled: exit.oomKilled, ranMs }
  })

/** What its start made is gone, and only then is what it was given on a network free. */
const clear = ({ networks, paths, runtime }: Tools, id: string): Effect.Effect<void, RunFault> =>
  Effect.andThen(runtime.clean(id, paths.container(id)), networks.release(id))

/**
 * Where it is given up the container has ended all the same, and keeps its claim: something of it
 * may still use that address. Its next start cleans first and takes that over; its removal cleans
 * as well.
 */
const clean = (tools: Tools, id: string, left: number): Effect.Effect<MachineEvent> => {
  const again = Effect.suspend(() => clean(tools, id, left - 1))
  return clear(tools, id).pipe(
    Effect.as({ type: "cleaned" }),
    Effect.catch(({ cause }) =>
      Effect.logWarning(`container ${id} could not be cleaned up: ${cause}`).pipe(
        Effect.andThen(
          left === 0
            ? Effect.succeed({ type: "cleaned" })
            : Effect.andThen(Effect.sleep(pauseMs(left)), again),
        ),
      )
    ),
  )
}

const signal = (tools: Tools, id: string, name: string): Effect.Effect<void> =>
  Effect.catch(
    Effect.suspend(() => tools.runtime.signal(id, processOf(tools, id), name)),
    ({ cause }) => Effect.logWarning(`container ${id} took no ${name}: ${cause}`),
  )

/**
 * The signal that stops it as agreed, or SIGKILL: given until it is taken, as nobody asks a second
 * time. One without a row has nobody to take it.
 */
const signalRow = (tools: Tools, order: Order, left: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const row = tools.store.containers.get(idOf(order))
    if (row === undefined) return Effect.void
    const { stopSignal } = row.terms as Terms
    const name = order.params.signal === "kill" ? "SIGKILL" : stopSignal
    return Effect.catch(tools.runtime.signal(row.id, processOf(tools, row.id), name), ({ cause }) =>
      Effect.logWarning(`container ${row.id} took no ${name}: ${cause}`).pipe(
        Effect.andThen(
          left === 0
            ? Effect.void
            : Effect.andThen(Effect.sleep(pauseMs(left)), signalRow(tools, order, left - 1)),
        ),
      ))
  })

/** Answers what is true: a freeze that failed left it thawed, and the other way round. */
const truth = (tools: Tools, id: string, act: "freeze" | "thaw"): Effect.Effect<MachineEvent> =>
  Effect.match(tools.runtime[act](id), {
    onSuccess: () => ({ type: act === "freeze" ? "frozen" : "thawed" }),
    onFailure: () => ({ type: act === "freeze" ? "thawed" : "frozen" }),
  })

const remove = (tools: Tools, id: string): Effect.Effect<MachineEvent> =>
  clear(tools, id).pipe(
    Effect.andThen(tools.runtime.remove(tools.paths.container(id))),
    Effect.as<MachineEvent>({ type: "deleted" }),
    Effect.catch(({ cause }) => Effect.succeed({ type: "deleteFailed", cause })),
  )
