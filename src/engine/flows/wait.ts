import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { Store } from "../../store/store.ts"
import { Loop } from "../loop.ts"
import type { Transition } from "../step.ts"
import { whenSeen } from "./attach.ts"

/** What is waited for: no process now, the end of the next one, or that the container is gone. */
export type WaitCondition = "not-running" | "next-exit" | "removed"

const isGone = ({ snapshot, done }: Transition): boolean => done || snapshot.matches("leaving")

/**
 * Begins to wait for a container's end; the Effect it gives answers with the exit code. In two
 * steps, as a client starts the container only once it knows that it is being waited for. The
 * listening ends with the scope.
 */
export const waitFor = (id: string, condition: WaitCondition) =>
  Effect.gen(function*() {
    const loop = yield* Loop
    const store = yield* Store
    const ended = yield* Deferred.make<number>()
    let exitCode = store.containers.get(id)?.state.exitCode ?? 0
    const end = () => Deferred.doneUnsafe(ended, Effect.succeed(exitCode))
    const stop = loop.listen((transition) => {
      if (transition.address !== `container/${id}`) return
      const { type } = transition.event
      const exited = type === "exited" || type === "startFailed"
      if (exited) exitCode = Number(transition.event["exitCode"])
      if (isGone(transition) || (condition !== "removed" && type === "exited")) end()
    })
    yield* Effect.addFinalizer(() => Effect.sync(stop))
    const snapshot = loop.snapshot(`container/${id}`)
    const runs = snapshot?.hasTag("running") === true || snapshot?.matches("starting") === true
    const gone = snapshot === undefined || snapshot.matches("leaving")
    if (gone || (condition === "not-running" && !runs)) end()
    return Effect.tap(Deferred.await(ended), () => whenSeen(id))
  })
