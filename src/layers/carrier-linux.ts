import { dirname, basename } from "node:path/posix"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberHandle from "effect/FiberHandle"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { type Child, startChild } from "../kernel/children.ts"
import { close, lock, openAt, openRoot } from "../kernel/files.ts"
import { Carrier, PullFault, type Watch } from "./carrier.ts"
import { type FromChild, hearChild, type Job, type ToChild } from "./messages.ts"

export interface CarrierSettings {
  /** The Node that runs the child: this process's own, by default. */
  readonly nodePath: string
  /** What Node is given to run: the program and the word that makes it the child. */
  readonly childEntry: readonly string[]
  /** `<data-root>/child.lock`. */
  readonly lockPath: string
  readonly userAgent: string
  /** Where registries' certificates are: `<certificatesPath>/<host>/`. */
  readonly certificatesPath: string
  /** A child without a job ends after this, and its memory goes back. */
  readonly idleMs: number
  /** A child that does not stop a job within this is killed. */
  readonly stopMs: number
  readonly backoffBaseMs: number
  readonly backoffMaxMs: number
  readonly connectTimeoutMs: number
  readonly headersTimeoutMs: number
  readonly stallTimeoutMs: number
}

export const CARRIER_DEFAULTS = {
  nodePath: process.execPath,
  userAgent: "balenaEngine",
  certificatesPath: "/etc/balena-engine/certs.d",
  idleMs: 3_000,
  stopMs: 5_000,
  backoffBaseMs: 2_000,
  backoffMaxMs: 300_000,
  connectTimeoutMs: 15_000,
  headersTimeoutMs: 30_000,
  stallTimeoutMs: 60_000,
} as const

/** A young generation of 1 MiB, one helper thread, one malloc arena: a pull needs no more. */
const NODE_FLAGS = ["--max-semi-space-size=1", "--v8-pool-size=1"]
const ENVIRONMENT = { MALLOC_ARENA_MAX: "1" }

/** The extraction child of a real machine. */
export const bodyLinux = (settings: CarrierSettings): Layer.Layer<Carrier> =>
  Layer.effect(Carrier, makeCarrier(settings))

type Answer = Extract<FromChild, {
  readonly _tag:
    | "resolved" | "inspected" | "fetched" | "encoded" | "uploaded" | "published" | "dropped"
}>

/** Who is to be told what the child says of a job. */
interface Listener {
  readonly name: string
  readonly answer: (effect: Effect.Effect<Answer, PullFault>) => void
  readonly named: () => void
  readonly progress: (current: number, total: number, part: number) => void
  readonly retrying: Watch["retrying"]
  readonly checkpoint: Watch["checkpoint"] | null
  readonly stopped: Deferred.Deferred<void>
}

/** A running child and the jobs it has. */
interface Live {
  readonly child: Child
  readonly jobs: Map<number, Listener>
  readonly ended: Deferred.Deferred<void>
}

const lost = (cause: string): PullFault => new PullFault({ reason: "lost", cause })

const makeCarrier = (
  settings: CarrierSettings,
): Effect.Effect<Carrier["Service"], never, Scope.Scope> =>
  Effect.gen(function*() {
    const office = new Office(
      settings,
      yield* FiberSet.makeRuntime<never, void, never>(),
      yield* FiberHandle.makeRuntime<never, never, void>(),
    )
    yield* Effect.addFinalizer(() => office.close)
    const quiet = { named: () => {}, progress: () => {}, retrying: () => {}, checkpoint: null }
    return Carrier.of({
      resolve: ({ named, retrying, ...job }) =>
        office.ask(
          { ...quiet, name: job.repository, named, retrying },
          (id) => ({ _tag: "resolve", id, ...job }),
          (answer) => answer._tag === "resolved" ? answer.resolved : null,
        ),
      inspect: (path) =>
        office.ask(
          { ...quiet, name: path },
          (id) => ({ _tag: "inspect", id, path }),
          (answer) => answer._tag === "inspected" ? answer.archived : null,
        ),
      fetch: ({ job, ...rest }, watch) =>
        office.ask(
          { ...quiet, ...watch, name: job },
          (id) => ({ _tag: "fetch", id, ...rest }),
          (answer) => answer._tag === "fetched" ? answer.fetched : null,
        ),
      encode: (job, { progress }) =>
        office.ask(
          {
            ...quiet,
            name: job.directory,
            progress: (current, total, part) => progress(part, current, total),
          },
          (id) => ({ _tag: "encode", id, ...job }),
          (answer) => answer._tag === "encoded" ? answer.layers : null,
        ),
      upload: ({ job, ...rest }, watch) =>
        office.ask(
          { ...quiet, ...watch, name: job },
          (id) => ({ _tag: "upload", id, ...rest }),
          (answer) => answer._tag === "uploaded" ? answer.uploaded : null,
        ),
      publish: (job, watch) =>
        office.ask(
          { ...quiet, ...watch, name: job.repository },
          (id) => ({ _tag: "publish", id, ...job }),
          (answer) => answer._tag === "published" ? answer.digest : null,
        ),
      drop: (directory) =>
        office.ask(
          { ...quiet, name: directory },
          (id) => ({ _tag: "drop", id, directory }),
          (answer) => answer._tag === "dropped" ? true : null,
        ).pipe(Effect.asVoid),
    })
  })

type Run = (effect: Effect.Effect<void>) => unknown

/** Starts the child when there is work, ends it when there is none, and carries the post. */
class Office {
  readonly #settings: CarrierSettings
  readonly #run: Run
  readonly #runIdle: Run
  /** Every child that has not ended, the one in use and those on their way out. */
  readonly #living = new Set<Live>()
  #live: Live | null = null
  #lastId = 0

  constructor(settings: CarrierSettings, run: Run, runIdle: Run) {
    this.#settings = settings
    this.#run = run
    this.#runIdle = runIdle
  }

  /** Has a job done. Interrupted, it returns when the child has let go of it all, or is dead. */
  ask<A>(
    listener: Omit<Listener, "answer" | "stopped">,
    job: (id: number) => Job,
    take: (answer: Answer) => A | null,
  ): Effect.Effect<A, PullFault> {
    const asked = Effect.callback<Answer, PullFault>((answer) => {
      const live = this.#live ?? this.#start()
      const id = ++this.#lastId
      live.jobs.set(id, { ...listener, answer, stopped: Deferred.makeUnsafe() })
      live.child.send(job(id))
      return this.#stop(live, id)
    })
    return Effect.flatMap(asked, (answer) => {
      const result = take(answer)
      return result === null
        ? Effect.fail(lost(`the extraction child answered ${answer._tag}`))
        : Effect.succeed(result)
    })
  }

  /** Kills what is left, and waits until it is gone. */
  readonly close: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach([...this.#living], killed, { discard: true })
  )

  #start(): Live {
    const { nodePath, childEntry, idleMs: _idle, stopMs: _stop, ...begin } = this.#settings
    const live: Live = {
      child: startChild({
        nodePath,
        args: [...NODE_FLAGS, ...childEntry],
        env: ENVIRONMENT,
        onMessage: (message) => this.#hear(live, message),
        onEnd: (cause) => this.#end(live, cause),
      }),
      jobs: new Map(),
      ended: Deferred.makeUnsafe(),
    }
    this.#live = live
    this.#living.add(live)
    live.child.send({ _tag: "begin", parent: process.pid, ...begin } satisfies ToChild)
    return live
  }

  #end(live: Live, cause: string): void {
    this.#living.delete(live)
    if (this.#live === live) this.#live = null
    const fault = live.child.pid < 0
      ? new PullFault({ reason: "local", cause: `the extraction child does not start: ${cause}` })
      : lost(`the extraction child ended: ${cause}`)
    for (const { answer } of live.jobs.values()) answer(Effect.fail(fault))
    live.jobs.clear()
    Deferred.doneUnsafe(live.ended, Effect.void)
  }

  #hear(live: Live, message: unknown): void {
    const heard = hearChild(message)
    // It has been reading strangers' archives: what it says wrongly is not argued with.
    if (Result.isFailure(heard)) return live.child.kill()
    const said = heard.success
    if (said._tag === "checkpoint") return this.#checkpoint(live, said)
    const listener = live.jobs.get(said.id)
    if (listener === undefined) return
    switch (said._tag) {
      case "named":
        return listener.named()
      case "progress":
        return listener.progress(said.current, said.total, said.part)
      case "retrying":
        return listener.retrying(said.cause, said.afterMs)
      case "stopped":
        break
      case "failed":
        listener.answer(Effect.fail(new PullFault({ reason: said.reason, cause: said.cause })))
        break
      default:
        listener.answer(Effect.succeed(said))
    }
    // Whichever came first, the answer or the word `stopped`: the job is over.
    Deferred.doneUnsafe(listener.stopped, Effect.void)
    live.jobs.delete(said.id)
    if (live.jobs.size === 0) this.#idle(live)
  }

  /** Has the states kept, all at once, and says so to the child. */
  #checkpoint(live: Live, said: Extract<FromChild, { readonly _tag: "checkpoint" }>): void {
    const saved: ToChild = { _tag: "saved", checkpoint: said.checkpoint }
    const listeners = said.states.flatMap(({ id, state }) => {
      const listener = live.jobs.get(id)
      return listener === undefined ? [] : [{ listener, kept: { job: listener.name, state } }]
    })
    const keep = listeners[0]?.listener.checkpoint
    if (keep === undefined || keep === null) return live.child.send(saved)
    this.#run(keep(listeners.map(({ kept }) => kept)).pipe(
      Effect.andThen(Effect.sync(() => live.child.send(saved))),
      // It could not be kept: without the word `saved` the child would wait for ever.
      Effect.catchCause(() => Effect.sync(() => live.child.kill())),
    ))
  }

  #idle(live: Live): void {
    this.#runIdle(Effect.sleep(this.#settings.idleMs).pipe(
      Effect.andThen(Effect.sync(() => {
        if (live.jobs.size > 0) return
        if (this.#live === live) this.#live = null
        live.child.disconnect()
      })),
    ))
  }

  /** In a fiber of its own: an interrupted one could not wait for a limited time. */
  readonly #stop = (live: Live, id: number): Effect.Effect<void> =>
    Effect.gen({ self: this }, function*() {
      const listener = live.jobs.get(id)
      if (listener === undefined) return
      live.child.send({ _tag: "stop", id } satisfies ToChild)
      const settled = Effect.raceFirst(Deferred.await(listener.stopped), Deferred.await(live.ended))
      const inTime = yield* Effect.timeoutOption(settled, this.#settings.stopMs)
      if (inTime._tag === "None") yield* killed(live)
    }).pipe(Effect.forkDetach, Effect.flatMap(Fiber.await), Effect.asVoid)
}

const killed = (live: Live): Effect.Effect<void> =>
  Effect.suspend(() => {
    live.child.kill()
    return Deferred.await(live.ended)
  })

/** How often a lock that somebody holds is tried again. */
const LOCK_RETRY_MS = 20

/**
 * Returns when no extraction child of an earlier daemon lives any more: they hold `lockPath`,
 * shared, for life. Until then none of their directories may be touched. The directory of the lock
 * exists.
 */
export const waitForOrphans = (lockPath: string): Effect.Effect<void, PullFault> =>
  Effect.acquireUseRelease(
    Effect.try({
      try: () => {
        const directory = openRoot(dirname(lockPath))
        try {
          return openAt(directory, basename(lockPath), true)
        } finally {
          close(directory)
        }
      },
      catch: (error) => new PullFault({ reason: "local", cause: String(error) }),
    }),
    (fd) => {
      const attempt: Effect.Effect<void> = Effect.suspend(() =>
        lock(fd, "exclusive", false)
          ? Effect.void
          : Effect.andThen(Effect.sleep(LOCK_RETRY_MS), attempt)
      )
      return attempt
    },
    (fd) => Effect.sync(() => close(fd)),
  )
