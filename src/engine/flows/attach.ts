import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { Runtime } from "../../kernel/runtime.ts"

/**
 * Who is attached to each container and has not seen the end of its output. Whoever waits for a
 * container's end is answered after them: the output comes before the exit code.
 */
export const Attached = Context.Reference<Map<string, Set<Deferred.Deferred<void>>>>(
  "engine/Attached",
  { defaultValue: () => new Map() },
)

/**
 * Connects to a container's streams; to one that does not run yet, at its start. Closed with the
 * scope. `seen` is to be called when its output has come to its end.
 */
export const attachTo = (id: string) =>
  Effect.gen(function*() {
    const runtime = yield* Runtime
    const attached = yield* Attached
    const ended = yield* Deferred.make<void>()
    const mine = attached.get(id) ?? new Set()
    attached.set(id, mine.add(ended))
    const seen = () => {
      mine.delete(ended)
      if (mine.size === 0 && attached.get(id) === mine) attached.delete(id)
      Deferred.doneUnsafe(ended, Effect.void)
    }
    yield* Effect.addFinalizer(() => Effect.sync(seen))
    const attachment = yield* Effect.acquireRelease(
      runtime.attach(id),
      (attachment) => Effect.sync(() => attachment.close()),
    )
    return { attachment, seen }
  })

/** A client that does not read must not keep the others from knowing. */
const PATIENCE = "2 seconds"

/** Returns once everybody who is attached to this container has seen the end of its output. */
export const whenSeen = (id: string): Effect.Effect<void> =>
  Effect.gen(function*() {
    const attached = yield* Attached
    const waits = [...attached.get(id) ?? []].map((ended) => Deferred.await(ended))
    yield* Effect.all(waits, { concurrency: "unbounded" })
  }).pipe(Effect.timeoutOrElse({ duration: PATIENCE, orElse: () => Effect.void }), Effect.asVoid)
