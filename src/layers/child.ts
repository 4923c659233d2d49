import { basename, dirname } from "node:path/posix"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import { registryCertificates } from "../kernel/certificates.ts"
import { lock, openAt, openRoot } from "../kernel/files.ts"
import { compileSoundly, tidy } from "../kernel/memory.ts"
import { dieWithParent, giveWay } from "../kernel/priority.ts"
import { exitAtOnce } from "../kernel/processes.ts"
import { capReceiveBuffer } from "../kernel/sockets.ts"
import { removeTree } from "../kernel/tree.ts"
import type { HttpSettings } from "../registry/http.ts"
import { Registry } from "../registry/registry.ts"
import { inspectArchive } from "./archive.ts"
import { barrier } from "./barrier.ts"
import { Budget } from "./budget.ts"
import { type PullFault, UPLOADS_MAX } from "./carrier.ts"
import { encodeLayers } from "./encode.ts"
import { faultOf } from "./faults.ts"
import { type FetchMember, fetchLayer } from "./fetch.ts"
import {
  type BeginMessage, type FromChild, hearDaemon, type Job, type ToChild,
} from "./messages.ts"
import { resolve } from "./resolve.ts"
import { publishManifest, uploadLayer } from "./upload.ts"

/**
 * The extraction child: imported for its effect, by the entry that is to become it. It fetches,
 * checks and extracts for the daemon at the other end of its channel, and ends with it.
 */

/** Measured: what a paused connection holds is the sender's buffer and this. */
const RECEIVE_BUFFER_BYTES = 64 * 1024
/** At most two blobs at once: a third would only take memory from the other two. */
const FETCHES_MAX = 2
const TIDY_BYTES = 2 * 1024 * 1024

const send = (message: FromChild, sent: () => void = () => {}): void => {
  process.send?.(message, undefined, undefined, sent)
}

/** Ends this process in a way that the daemon reads as `lost`. */
const giveUp = (cause: string): never => {
  console.error(`extraction child: ${cause}`)
  return exitAtOnce(1)
}

/**
 * Shows that a child is alive, to a daemon that boots: never unlocked, so held for life. There is
 * no waiting for long: only a booting daemon holds it alone, and it has started no child yet.
 */
function holdLock(lockPath: string): void {
  lock(openAt(openRoot(dirname(lockPath)), basename(lockPath), true), "shared", true)
}

/** All jobs of this child, and what they share. */
class Desk {
  readonly #begin: BeginMessage
  readonly #registry: Registry["Service"]
  readonly #fibers: FiberMap.FiberMap<number>
  readonly #budget = new Budget<FetchMember>(
    (members) => barrier(members.map(({ extraction }) => extraction)),
    (checkpoint) => send({ _tag: "checkpoint", ...checkpoint }),
  )
  readonly #fetches = Semaphore.makeUnsafe(FETCHES_MAX)
  readonly #uploads = Semaphore.makeUnsafe(UPLOADS_MAX)
  /** Progress reports on their way. A daemon that does not keep up gets fewer. */
  #reporting = 0
  /** Bytes received since the last tidying. */
  #uncollected = 0

  constructor(
    begin: BeginMessage,
    registry: Registry["Service"],
    fibers: FiberMap.FiberMap<number>,
  ) {
    this.#begin = begin
    this.#registry = registry
    this.#fibers = fibers
  }

  /** Takes one message of the daemon's. Never waits for a job. */
  take(message: ToChild): Effect.Effect<unknown> {
    switch (message._tag) {
      case "begin":
        return Effect.sync(() => giveUp("began twice"))
      case "saved":
        return Effect.sync(() => this.#budget.saved(message.checkpoint))
      case "stop":
        return Effect.forkDetach(this.#stop(message.id))
      default:
        return FiberMap.run(this.#fibers, message.id, this.#answered(message))
    }
  }

  #stop(id: number): Effect.Effect<void> {
    return FiberMap.remove(this.#fibers, id).pipe(
      Effect.andThen(Effect.sync(() => send({ _tag: "stopped", id }))),
    )
  }

  /** Does a job, and sends how it ended; nothing if it was stopped. */
  #answered(job: Job): Effect.Effect<void> {
    return this.#perform(job).pipe(
      Effect.catch(({ reason, cause }) =>
        Effect.succeed<FromChild>({ _tag: "failed", id: job.id, reason, cause })
      ),
      Effect.matchCauseEffect({
        onSuccess: (answer) => Effect.sync(() => send(answer)),
        onFailure: (cause) =>
          Cause.hasInterruptsOnly(cause) ? Effect.failCause(cause) : Effect.sync(() =>
            send({ _tag: "failed", id: job.id, reason: "local", cause: Cause.pretty(cause) })
          ),
      }),
    )
  }

  #perform(job: Job): Effect.Effect<FromChild, PullFault> {
    const { id } = job
    const retrying = (cause: string, afterMs: number): void =>
      send({ _tag: "retrying", id, cause, afterMs })
    const backoff = { baseMs: this.#begin.backoffBaseMs, maxMs: this.#begin.backoffMaxMs }
    const registry = this.#registry
    const named = (): void => send({ _tag: "named", id })
    const progress = (current: number, total: number): void => this.#report(id, current, total)
    switch (job._tag) {
      case "resolve":
        return Effect.map(
          resolve(registry, job, { backoff, retrying, named }),
          (resolved) => ({ _tag: "resolved", id, resolved }),
        )
      case "inspect":
        return Effect.map(
          inspectArchive(job.path),
          (archived) => ({ _tag: "inspected", id, archived }),
        )
      case "fetch":
        return this.#fetches.withPermits(1)(Effect.map(
          fetchLayer(job, {
            registry,
            budget: this.#budget,
            backoff,
            retrying,
            received: (bytes) => this.#received(bytes),
            progress,
          }),
          (fetched) => ({ _tag: "fetched", id, fetched }),
        ))
      case "encode":
        return Effect.map(
          encodeLayers(job, {
            progress: (part, current, total) => this.#report(id, current, total, part),
          }),
          (layers) => ({ _tag: "encoded", id, layers }),
        )
      case "upload":
        return this.#uploads.withPermits(1)(Effect.map(
          uploadLayer(job, { registry, backoff, retrying, named, progress }),
          (uploaded) => ({ _tag: "uploaded", id, uploaded }),
        ))
      case "publish":
        return Effect.map(
          publishManifest(job, { registry, backoff, retrying }),
          (digest) => ({ _tag: "published", id, digest }),
        )
      case "drop":
        return Effect.try({
          try: () => {
            removeTree(job.directory)
            return { _tag: "dropped", id } as const
          },
          catch: (error) => faultOf(error, `the removal of ${job.directory}`),
        })
    }
  }

  /** The last report of a layer always goes: it is what people see of it from then on. */
  #report(id: number, current: number, total: number, part = 0): void {
    if (this.#reporting > 0 && current < total) return
    this.#reporting += 1
    send({ _tag: "progress", id, part, current, total }, () => (this.#reporting -= 1))
  }

  /** What a socket read lies outside of V8's heap, and goes only with its collection. */
  #received(bytes: number): void {
    this.#uncollected += bytes
    if (this.#uncollected < TIDY_BYTES) return
    this.#uncollected = 0
    tidy()
  }
}

const program = Effect.gen(function*() {
  const post = yield* Queue.unbounded<unknown>()
  process.on("message", (message) => Queue.offerUnsafe(post, message))
  const next = Effect.map(Queue.take(post), (message) => {
    const heard = hearDaemon(message)
    return Result.isSuccess(heard) ? heard.success : giveUp(`not understood: ${heard.failure}`)
  })
  const begin = yield* next
  if (begin._tag !== "begin") return giveUp("no beginning")
  // Between the fork and the call for a parent-death signal the daemon may have died.
  if (process.ppid !== begin.parent) return giveUp("an orphan")
  holdLock(begin.lockPath)
  giveWay()
  const serve = Effect.gen(function*() {
    const desk = new Desk(begin, yield* Registry, yield* FiberMap.make<number>())
    yield* Effect.forever(Effect.flatMap(next, (message) => desk.take(message)))
  })
  const settings: HttpSettings = {
    ...begin,
    onConnect: (fd) => capReceiveBuffer(fd, RECEIVE_BUFFER_BYTES),
    certificates: (host) => registryCertificates(begin.certificatesPath, host),
  }
  yield* Effect.scoped(Effect.provide(serve, Registry.body(settings)))
})

dieWithParent()
compileSoundly()
// A signal for the whole process group or control group is the daemon's business: it stops jobs in
// order, and its end is this process's end.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {})
process.on("disconnect", () => exitAtOnce(0))
void Effect.runPromise(program).catch((error) => giveUp(String(error)))
