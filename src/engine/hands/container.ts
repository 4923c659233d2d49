import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { keyOf } from "../../../machines/words.ts"
import { Runtime, type Started } from "../../kernel/runtime.ts"
import type { Terms } from "../../oci/terms.ts"
import type { ContainerRow } from "../../store/containers.ts"
import { Store } from "../../store/store.ts"
import type { Hands, MachineEvent, Order } from "../hand.ts"
import { Loop } from "../loop.ts"
import { Networks } from "../networks.ts"
import { Paths } from "../paths.ts"
import { Planner } from "../planner.ts"
import { makeSources } from "./sources.ts"

/** What the kernel refuses is tried again this often, then reported as it is. */
const TRIES_MOST = 8
const FIRST_PAUSE_MS = 100
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
  "run.signal": { kind: "short", run: (order) => signalRow(tools, order) },
  "run.kill": {
    kind: "once",
    lost: { type: "killLost" },
    run: (order) => Effect.as(signal(tools, idOf(order), order.params.signal, 0), { type: "killed" }),
  },
  "run.freeze": { kind: "short", run: (order) => truth(tools, idOf(order), "freeze") },
  "run.thaw": { kind: "short", run: (order) => truth(tools, idOf(order), "thaw") },
  "run.clean": { kind: "short", run: (order) => clean(tools, idOf(order), TRIES_MOST) },
  "run.delete": { kind: "short", run: (order) => remove(tools, idOf(order)) },
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
    const { networks, planner, runtime } = tools
    const id = idOf(order)
    const row = rowOf(tools, id)
    yield* makeSources(row.terms as Terms)
    const network = yield* networks.claim(id, row.terms as Terms)
    const started = yield* runtime.start(planner.plan(row, network))
    yield* networks.publish(id)
    return { type: "started", ...started, row: { network } }
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

const clean = (tools: Tools, id: string, left: number): Effect.Effect<MachineEvent> => {
  const { networks, paths, runtime } = tools
  const pauseMs = FIRST_PAUSE_MS * 2 ** (TRIES_MOST - left)
  const again = Effect.suspend(() => clean(tools, id, left - 1))
  return runtime.clean(id, paths.container(id)).pipe(
    Effect.andThen(networks.release(id)),
    Effect.as({ type: "cleaned" }),
    Effect.catch(({ cause }) =>
      Effect.logWarning(`container ${id} could not be cleaned up: ${cause}`).pipe(
        Effect.andThen(
          left === 0
            ? Effect.succeed({ type: "cleaned" })
            : Effect.andThen(Effect.sleep(pauseMs), again),
        ),
      )
    ),
  )
}

/** A signal to the process that runs now, and to no later one however often it is tried. */
const signal = (tools: Tools, id: string, name: string, times: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const started = processOf(tools, id)
    return Effect.retry(tools.runtime.signal(id, started, name), {
      times,
      schedule: Schedule.exponential(FIRST_PAUSE_MS),
    })
  }).pipe(
    Effect.catch(({ cause }) => Effect.logWarning(`container ${id} took no ${name}: ${cause}`)),
  )

/**
 * The signal that stops it as agreed, or SIGKILL: tried again, as nobody else would if the last one
 * were refused. A container without a row has nobody to take it.
 */
const signalRow = (tools: Tools, order: Order): Effect.Effect<void> =>
  Effect.suspend(() => {
    const row = tools.store.containers.get(idOf(order))
    if (row === undefined) return Effect.void
    const { stopSignal } = row.terms as Terms
    const name = order.params.signal === "kill" ? "SIGKILL" : stopSignal
    return signal(tools, row.id, name, TRIES_MOST)
  })

/** Answers what is true: a freeze that failed left it thawed, and the other way round. */
const truth = (tools: Tools, id: string, act: "freeze" | "thaw"): Effect.Effect<MachineEvent> =>
  Effect.match(tools.runtime[act](id), {
    onSuccess: () => ({ type: act === "freeze" ? "frozen" : "thawed" }),
    onFailure: () => ({ type: act === "freeze" ? "thawed" : "frozen" }),
  })

const remove = ({ paths, runtime }: Tools, id: string): Effect.Effect<MachineEvent> =>
  runtime.remove(paths.container(id)).pipe(
    Effect.as<MachineEvent>({ type: "deleted" }),
    Effect.catch(({ cause }) => Effect.succeed({ type: "deleteFailed", cause })),
  )
