import * as Effect from "effect/Effect"
import {
  type Carrier,
  type FetchJob,
  type Fetched,
  PullFault,
  type Resolved,
  type Watch,
} from "../../src/layers/carrier.ts"
import { digestOf } from "../../src/oci/digest.ts"
import { type Broken, type SimDirectories, Violation } from "./disk.ts"
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

/** One image of the simulated registry. */
export interface SimImage {
  readonly reference: string
  readonly resolved: Resolved
}

/** In steps of a mebibyte: how much comes between two checkpoints. */
const CHECKPOINT_EVERY = 8

const encode = (offset: number): Uint8Array => Uint8Array.of(offset & 255, offset >> 8)
const decode = (state: Uint8Array): number => state[0]! | (state[1]! << 8)

/** The images of a small registry, with layers that several of them share. */
export const simRegistry = (time: Time): SimImage[] => {
  const layers = Array.from({ length: 8 }, (_, number) => ({
    diffId: digestOf(Buffer.from(`layer ${number}`)),
    size: time.between(2, 40),
  }))
  return Array.from({ length: 6 }, (_, number) => {
    const depth = time.between(1, 5)
    const mine = Array.from({ length: depth }, (_, at) => layers[(number + at) % layers.length]!)
    const diffIds = mine.map(({ diffId }) => diffId)
    const config = Buffer.from(JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: { Labels: { number: String(number) } },
      rootfs: { type: "layers", diff_ids: diffIds },
    }))
    const manifest = Buffer.from(`manifest ${number}`)
    const resolved: Resolved = {
      imageId: digestOf(config),
      manifestDigest: digestOf(manifest),
      digest: digestOf(manifest),
      mediaType: "application/vnd.docker.distribution.manifest.v2+json",
      manifest,
      config,
      layers: mine.map(({ diffId, size }) => ({
        diffId,
        source: {
          kind: "registry",
          host: "sim",
          repository: `app${number}`,
          digest: diffId,
          size,
          mediaType: "",
          urls: [],
        },
      })),
    }
    return { reference: `sim.io/app${number}:latest`, resolved }
  })
}

const REASONS = ["unreachable", "digestMismatch", "noSpace", "lost"] as const

/**
 * The simulated twin of the extraction child. It fetches in steps, meets passing faults, fails for
 * good now and then, and dies with its daemon. Survivable because everything below a layer's
 * directory is either certain before its checkpoint is told, or thrown away at the next resume.
 */
export class SimCarrier {
  readonly #time: Time
  readonly #life: Life
  readonly #directories: SimDirectories
  readonly #registry: readonly SimImage[]
  readonly #weather: Weather
  readonly #broken: Broken

  constructor(needs: {
    readonly time: Time
    readonly life: Life
    readonly directories: SimDirectories
    readonly registry: readonly SimImage[]
    readonly weather: Weather
    readonly broken: Broken
  }) {
    this.#time = needs.time
    this.#life = needs.life
    this.#directories = needs.directories
    this.#registry = needs.registry
    this.#weather = needs.weather
    this.#broken = needs.broken
  }

  readonly service: Carrier["Service"] = {
    resolve: ({ repository, named }) =>
      Effect.andThen(
        this.#step(named),
        this.#step(() => {
          const isAsked = ({ reference }: SimImage) => reference.includes(`/${repository}:`)
          const found = this.#registry.find(isAsked)
          if (found === undefined) throw new Error(`no ${repository} in the simulated registry`)
          return found.resolved
        }),
      ),
    inspect: () => Effect.succeed([]),
    fetch: (job, watch) => this.#fetch(job, watch),
    drop: (directory) =>
      this.#step(() => {
        this.#directories.open(directory, this.#life)
        this.#directories.remove(directory)
        this.#directories.close(directory)
      }),
  }

  #hit(share: number): boolean {
    if (!this.#time.chance(share)) return false
    this.#weather.injected++
    return true
  }

  #fault(): PullFault {
    return new PullFault({ reason: this.#time.oneOf(REASONS), cause: "simulated" })
  }

  #step<A>(act: () => A): Effect.Effect<A, PullFault> {
    return Effect.andThen(
      Effect.sleep(this.#time.between(1, 30)),
      Effect.suspend(() =>
        this.#hit(this.#weather.broken) ? Effect.fail(this.#fault()) : Effect.sync(act)
      ),
    )
  }

  #fetch(job: FetchJob, watch: Watch): Effect.Effect<Fetched, PullFault> {
    const { directory, source } = job
    const time = this.#time
    const directories = this.#directories
    const size = source.size
    const weather = this.#weather
    const hit = (share: number) => this.#hit(share)
    const fault = () => this.#fault()
    const noBarrier = this.#broken.noBarrier === true
    const work = Effect.gen(function*() {
      let offset = job.checkpoint === null ? 0 : decode(job.checkpoint)
      const there = directories.at(directory)?.offset ?? 0
      if (offset > there) {
        throw new Violation(`${job.job}: checkpoint ${offset}, on the disk ${there}`)
      }
      let kept = offset
      directories.write(directory, { offset, whole: false })
      while (offset < size) {
        yield* Effect.sleep(time.between(1, 40))
        if (hit(weather.broken)) return yield* Effect.fail(fault())
        if (hit(weather.flaky)) {
          watch.retrying("simulated", 500)
          yield* Effect.sleep(500)
          continue
        }
        offset = Math.min(size, offset + time.between(1, 4))
        directories.write(directory, { offset, whole: false })
        watch.progress(offset, size)
        if (offset - kept < CHECKPOINT_EVERY) continue
        if (!noBarrier) directories.barrier(directory)
        yield* watch.checkpoint([{ job: job.job, state: encode(offset) }])
        kept = offset
      }
      directories.write(directory, { offset, whole: true })
      if (!noBarrier) directories.barrier(directory)
      return { bytes: size, tarBytes: size, entries: size }
    })
    return Effect.acquireUseRelease(
      Effect.sync(() => directories.open(directory, this.#life)),
      () => work,
      () => Effect.andThen(
        Effect.sleep(time.between(0, 20)),
        Effect.sync(() => directories.close(directory)),
      ),
    )
  }
}
