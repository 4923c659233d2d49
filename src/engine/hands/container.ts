import * as Effect from "effect/Effect"
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

/** A clean that the kernel refuses is tried again this often, then reported as it is. */
const CLEANS_MOST = 8
/** dockerd's restart manager takes a container for steady after 10 s. */
const STEADY_MS = 10_000

/** Hands for containers: each finds all it needs in the container's row. */
export const containerHands = Effect.gen(function*() {
  const store = yield* Store
  const loop = yield* Loop
  const runtime = yield* Runtime
  const networks = yield* Networks
  const planner = yield* Planner
  const paths = yield* Paths

  const idOf = (order: Order) => keyOf(order.address)
  const rowOf = (id: string): ContainerRow => {
    const row = store.containers.get(id)
    if (row === undefined) throw new Error(`container ${id} has no row`)
    return row
  }
  const processOf = (id: string): Started => {
    const { pid, startTicks } = rowOf(id).state
    return { pid, startTicks }
  }

  const failed = (exitCode: number, cause: string): MachineEvent => ({ type: "startFailed", exitCode, cause })

  /** A client that waited for this start is gone; whether it runs again is for its policy to say. */
  const lostToReboot = failed(255, "the machine was restarted while the container was being started")

  const start = (order: Order): Effect.Effect<MachineEvent> =>
    Effect.gen(function*() {
      if (order.attempt === "after-reboot") return lostToReboot
      const id = idOf(order)
      const row = rowOf(id)
      yield* makeSources(row.terms as Terms)
      const network = yield* networks.claim(row, row.terms as Terms)
      const started = yield* runtime.start(planner.plan(row, network))
      yield* networks.publish(id)
      return { type: "started", ...started, row: { network } }
    }).pipe(Effect.catch((fault) => Effect.succeed(failed(fault.exitCode, fault.cause))))

  const wait = (order: Order): Effect.Effect<MachineEvent> =>
    Effect.gen(function*() {
      const id = idOf(order)
      const { startedMonoMs } = rowOf(id).state
      const exit = yield* runtime.wait(id, paths.container(id), processOf(id))
      const ranMs = order.attempt === "after-reboot" ? STEADY_MS : loop.now().monoMs - startedMonoMs
      return { type: "exited", exitCode: exit.exitCode, oomKilled: exit.oomKilled, ranMs }
    })

  const clean = (id: string, left: number): Effect.Effect<MachineEvent> =>
    runtime.clean(id, paths.container(id)).pipe(
      Effect.andThen(networks.release(id)),
      Effect.as({ type: "cleaned" }),
      Effect.catch((fault) =>
        Effect.logWarning(`container ${id} could not be cleaned up: ${fault.cause}`).pipe(
          Effect.andThen(
            left === 0
              ? Effect.succeed({ type: "cleaned" })
              : Effect.andThen(Effect.sleep(100 * 2 ** (CLEANS_MOST - left)), clean(id, left - 1)),
          ),
        )
      ),
    )

  const signal = (id: string, name: string) =>
    Effect.catch(
      Effect.suspend(() => runtime.signal(id, processOf(id), name)),
      (fault) => Effect.logWarning(`container ${id} took no ${name}: ${fault.cause}`),
    )

  /** Answers what is true: a freeze that failed left the container thawed, and the other way round. */
  const truth = (id: string, act: "freeze" | "thaw"): Effect.Effect<MachineEvent> =>
    Effect.match(runtime[act](id), {
      onSuccess: () => ({ type: act === "freeze" ? "frozen" : "thawed" }),
      onFailure: () => ({ type: act === "freeze" ? "thawed" : "frozen" }),
    })

  const hands: Hands = {
    "run.start": { kind: "short", run: start },
    "run.wait": { kind: "long", run: wait },
    "run.signal": {
      kind: "short",
      run: (order) =>
        Effect.suspend(() => {
          const row = store.containers.get(idOf(order))
          if (row === undefined) return Effect.void
          const { stopSignal } = row.terms as Terms
          return signal(row.id, order.params.signal === "kill" ? "SIGKILL" : stopSignal)
        }),
    },
    "run.kill": {
      kind: "once",
      lost: { type: "killLost" },
      run: (order) => Effect.as(signal(idOf(order), order.params.signal), { type: "killed" }),
    },
    "run.freeze": { kind: "short", run: (order) => truth(idOf(order), "freeze") },
    "run.thaw": { kind: "short", run: (order) => truth(idOf(order), "thaw") },
    "run.clean": {
      kind: "short",
      run: (order) => networks.leave(idOf(order), clean(idOf(order), CLEANS_MOST)),
    },
    "run.delete": {
      kind: "short",
      run: (order) =>
        runtime.remove(paths.container(idOf(order))).pipe(
          Effect.as<MachineEvent>({ type: "deleted" }),
          Effect.catch((fault) => Effect.succeed({ type: "deleteFailed", cause: fault.cause })),
        ),
    },
  }
  return hands
})
