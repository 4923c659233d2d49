import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { Budget } from "../../src/layers/budget.ts"
import {
  type Archived,
  type Carrier,
  type FetchJob,
  type Fetched,
  type PublishJob,
  PullFault,
  type Uploaded,
  type UploadJob,
  UPLOADS_MAX,
  type Watch,
} from "../../src/layers/carrier.ts"
import { digestOf } from "../../src/oci/digest.ts"
import { type Broken, type SimDirectories, Violation } from "./disk.ts"
import { chosenFor, Fetch, wholeFor } from "./fetch-sim.ts"
import type { SimAnswer, SimRegistry } from "./registry-sim.ts"
import type { Life, Time } from "./time.ts"

/** Faults of the moment; healed they are all zero. */
export interface Weather {
  /** Chance that a step of a fetch meets a passing fault. */
  flaky: number
  /** Chance that a resolve or a fetch fails for good. */
  broken: number
  /** Chance that the runtime or the kernel refuses. */
  stubborn: number
  injected: number
}

const REASONS = ["unreachable", "digestMismatch", "noSpace", "lost"] as const
const MIB = 1024 * 1024
const BACKOFF_MS = 500
/** A connection that brings nothing for so long is given up. */
const STALL_MS = 60_000
const FETCHES_MAX = 2

const faultOf = (reason: PullFault["reason"], cause = "simulated") =>
  new PullFault({ reason, cause })

/** The simulated extraction child, with the budget that the real one has. */
interface Child {
  readonly budget: Budget<Fetch>
  readonly fetches: Semaphore.Semaphore
  readonly uploads: Semaphore.Semaphore
  readonly ended: Deferred.Deferred<never, PullFault>
  jobs: number
}

export interface CarrierNeeds {
  readonly time: Time
  /** Of the daemon: the child dies with it. */
  readonly life: Life
  readonly directories: SimDirectories
  readonly registry: SimRegistry
  readonly weather: Weather
  readonly broken: Broken
  /** Told what must never be, as the engine takes what is thrown for a passing defect. */
  readonly fail: (violation: Violation) => void
}

/** The simulated body of `Carrier`, for one daemon. */
export const simCarrier = (needs: CarrierNeeds): Effect.Effect<SimCarrier, never, Scope.Scope> =>
  Effect.map(
    FiberSet.makeRuntime<never, void, never>(),
    (run) => new SimCarrier(needs, run),
  )

/**
 * The simulated twin of the extraction child. It fetches in steps, meets passing faults, fails for
 * good now and then, and dies: alone, or with its daemon. Survivable because everything below a
 * layer's directory is either certain before its checkpoint is told, or thrown away at the next
 * resume.
 */
export class SimCarrier {
  readonly #needs: CarrierNeeds
  readonly #run: (effect: Effect.Effect<void>) => unknown
  #child: Child | null = null
  #lastId = 0

  constructor(needs: CarrierNeeds, run: (effect: Effect.Effect<void>) => unknown) {
    this.#needs = needs
    this.#run = run
  }

  readonly service: Carrier["Service"] = {
    resolve: ({ repository, reference, bases, named }) =>
      this.#step(() => {
        const resolved = this.#needs.registry.find(repository, reference)
        if (resolved === undefined) return faultOf("notFound", `no ${repository}:${reference}`)
        const offers = resolved.offers.filter(({ base }) => bases.includes(base))
        return { ...resolved, offers }
      }).pipe(Effect.tap(() => this.#step(named))),
    inspect: (path) =>
      this.#step<readonly Archived[]>(() => faultOf("local", `${path}: no such file`)),
    fetch: (job, watch) =>
      this.#ask((child) => child.fetches.withPermits(1)(this.#fetch(child, job, watch))),
    encode: ({ targets, directory }, { progress }) =>
      Effect.andThen(
        this.#step(() => progress(0, 1, 1)),
        this.#step(() => {
          this.#needs.directories.make(directory)
          return targets.map(({ diffId }) => ({
            diffId, path: directory, offset: 0, size: 1, payload: 1,
          }))
        }),
      ),
    upload: (job, watch) =>
      this.#ask((child) => child.uploads.withPermits(1)(this.#upload(job, watch))),
    publish: (job) => this.#step(() => this.#publish(job)),
    drop: (directory) =>
      this.#step(() => {
        const { directories, life } = this.#needs
        directories.open(directory, life)
        directories.remove(directory)
        directories.close(directory)
      }),
  }

  /** The child dies: every job it has is lost, and the next one has a new child. */
  kill(): void {
    const child = this.#child
    this.#child = null
    if (child !== null) Deferred.doneUnsafe(child.ended, Effect.fail(faultOf("lost")))
  }

  #hit(share: number): boolean {
    if (!this.#needs.time.chance(share)) return false
    this.#needs.weather.injected++
    return true
  }

  #fault(): PullFault {
    const reason = this.#needs.time.oneOf(REASONS)
    if (reason === "lost") this.kill()
    return faultOf(reason)
  }

  /** Has a job done by the child, if that lives long enough; it ends after its last. */
  #ask<A>(job: (child: Child) => Effect.Effect<A, PullFault>): Effect.Effect<A, PullFault> {
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        const child = this.#child ??= this.#newChild()
        child.jobs++
        return child
      }),
      (child) => Effect.raceFirst(job(child), Deferred.await(child.ended)),
      (child) =>
        Effect.sync(() => {
          child.jobs--
          if (child.jobs === 0 && this.#child === child) this.#child = null
        }),
    )
  }

  /** A job that takes a moment, and may fail. */
  #step<A>(act: () => A | PullFault): Effect.Effect<A, PullFault> {
    const { time, weather } = this.#needs
    return this.#ask(() =>
      Effect.suspend(() => {
        const result = this.#hit(weather.broken) ? this.#fault() : act()
        return result instanceof PullFault ? Effect.fail(result) : Effect.succeed(result)
      }).pipe(Effect.delay(time.between(1, 30)))
    )
  }

  /** Reads the layer, which must stay whole meanwhile, and sends it where it is not already. */
  #upload(
    job: UploadJob,
    watch: Pick<Watch, "progress" | "retrying"> & { readonly named: () => void },
  ): Effect.Effect<Uploaded, PullFault> {
    const { directories, fail, registry, time, weather } = this.#needs
    return Effect.gen({ self: this }, function*() {
      yield* Effect.sleep(time.between(1, 30))
      watch.named()
      const there = registry.offer(job)
      if (there !== null) return there
      const blob = registry.packed(job.diffId)
      if (blob === undefined) return yield* Effect.fail(faultOf("damaged"))
      for (let sent = 0; sent < blob.tarBytes;) {
        yield* Effect.sleep(time.between(1, 40))
        if (directories.at(job.directory)?.whole !== true) {
          fail(new Violation(`${job.job}: it is not whole while it is sent`))
          return yield* Effect.fail(faultOf("damaged"))
        }
        if (this.#hit(weather.broken)) return yield* Effect.fail(this.#fault())
        if (this.#hit(weather.flaky)) {
          watch.retrying("simulated", BACKOFF_MS)
          yield* Effect.sleep(BACKOFF_MS)
        } else sent = Math.min(blob.tarBytes, sent + time.between(1, 4) * MIB)
        watch.progress(sent, blob.tarBytes)
      }
      return registry.keep(job, blob)
    })
  }

  #publish(job: PublishJob): string | PullFault {
    const lacks = this.#needs.registry.publish(job)
    if (lacks === null) return digestOf(job.manifest)
    this.#needs.fail(new Violation(`${job.repository} is published without ${lacks}`))
    return faultOf("unsupported", "manifest blob unknown")
  }

  #newChild(): Child {
    let told: readonly Fetch[] = []
    const child: Child = {
      budget: new Budget<Fetch>((fetches) => {
        told = fetches
        for (const { job } of fetches) this.#barrier(job.directory)
        return fetches.map((fetch) => fetch.state())
      }, ({ checkpoint, states }) => {
        const kept = told.map(({ job }, at) => ({ job: job.job, state: states[at]!.state }))
        this.#run(told[0]!.watch.checkpoint(kept).pipe(
          Effect.andThen(Effect.sync(() => child.budget.saved(checkpoint))),
          Effect.catchCause(() => Effect.sync(() => this.kill())),
        ))
      }),
      fetches: Semaphore.makeUnsafe(FETCHES_MAX),
      uploads: Semaphore.makeUnsafe(UPLOADS_MAX),
      ended: Deferred.makeUnsafe(),
      jobs: 0,
    }
    return child
  }

  #barrier(directory: string): void {
    if (this.#needs.broken.noBarrier !== true) this.#needs.directories.barrier(directory)
  }

  /** What came damaged is fetched anew, once. The directory is closed a little late. */
  #fetch(child: Child, asked: FetchJob, watch: Watch): Effect.Effect<Fetched, PullFault> {
    const { directories, life, time } = this.#needs
    const job = chosenFor(asked)
    return Effect.acquireUseRelease(
      Effect.sync(() => directories.open(job.directory, life)),
      () =>
        Effect.catchIf(
          this.#attempt(child, job, watch),
          ({ reason }) => reason === "digestMismatch",
          ({ cause }) => {
            watch.retrying(cause, 0)
            const next = job.whole === null ? job : wholeFor(job, job.whole)
            return this.#attempt(child, { ...next, checkpoint: null }, watch)
          },
        ),
      () =>
        Effect.andThen(
          Effect.sleep(time.between(0, 20)),
          Effect.sync(() => directories.close(job.directory)),
        ),
    )
  }

  #attempt(child: Child, job: FetchJob, watch: Watch): Effect.Effect<Fetched, PullFault> {
    return Effect.suspend(() => {
      const { directories, registry } = this.#needs
      const { source } = job
      if (source.kind === "archive") return Effect.fail(faultOf("damaged", "no such archive"))
      const fetch = new Fetch({ id: ++this.#lastId, job, source, watch, directories })
      child.budget.join(fetch)
      const finish = Effect.suspend(() => {
        const blob = registry.blob(source.digest)
        if (fetch.isSpoilt || blob?.diffId !== job.diffId) {
          return Effect.fail(faultOf("digestMismatch"))
        }
        fetch.finish()
        this.#barrier(job.directory)
        child.budget.leave(fetch.id, true)
        watch.progress(source.size, source.size)
        const { bytes, tarBytes, entries } = blob
        return Effect.succeed({ bytes, tarBytes, entries })
      })
      return this.#pour(child, fetch).pipe(
        Effect.andThen(finish),
        Effect.ensuring(Effect.sync(() => child.budget.leave(fetch.id, false))),
      )
    })
  }

  /** Takes the blob in, piece by piece, over as many connections as it needs. */
  #pour({ budget }: Child, fetch: Fetch): Effect.Effect<void, PullFault> {
    const { registry, time, weather } = this.#needs
    const { id, source, watch } = fetch
    const again = (cause: string) => {
      watch.retrying(cause, BACKOFF_MS)
      return Effect.sleep(BACKOFF_MS)
    }
    return Effect.gen({ self: this }, function*() {
      let answer: SimAnswer | null = null
      while (fetch.left > 0) {
        yield* budget.room
        yield* Effect.sleep(time.between(1, 40))
        if (this.#hit(weather.broken)) return yield* Effect.fail(this.#fault())
        if (this.#hit(weather.flaky)) {
          answer = null
          yield* again("simulated")
          continue
        }
        answer ??= registry.open(source.digest)
        if (answer === null) return yield* Effect.fail(faultOf("notFound"))
        const bytes = answer.take(Math.min(fetch.left, time.between(1, 4) * MIB))
        if (typeof bytes === "string") {
          if (bytes === "stall") yield* Effect.sleep(STALL_MS)
          answer = null
          yield* again(`the connection was ${bytes}`)
          continue
        }
        if (fetch.lacking !== null) {
          const { job } = fetch.job
          this.#needs.fail(new Violation(`${job}: its base ${fetch.lacking} is not whole`))
        }
        fetch.take(bytes, answer.isSpoilt)
        if (yield* budget.due(id, bytes)) yield* Effect.orDie(budget.park(id))
      }
    })
  }
}
