import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import {
  type Access,
  Carrier,
  type FetchJob,
  type Source,
  type Watch,
} from "../../src/layers/carrier.ts"

/** A layer that the world's registry holds. */
export interface WorldLayer {
  readonly diffId: string
  readonly source: Source & { readonly kind: "registry" }
  /** Of the uncompressed tar. */
  readonly tarBytes: number
}

export interface WorldImage {
  readonly repository: string
  readonly tag: string
  readonly digest: string
  readonly imageId: string
  /** Lowest first. */
  readonly layers: readonly WorldLayer[]
}

/** What a body needs around it to be tried: a registry, and a disk that can be looked at. */
export interface CarrierWorld {
  readonly body: Layer.Layer<Carrier>
  readonly access: Access
  /** Makes an image whose layers have this many incompressible bytes each, in several files. */
  readonly put: (layerBytes: readonly number[]) => Promise<WorldImage>
  /** The path of a directory that does not exist yet. */
  readonly directory: () => string
  /** Every path below a directory with what it is; null: there is no such directory. */
  readonly tree: (directory: string) => Promise<ReadonlyMap<string, string> | null>
  /** Blob bytes that the registry has sent so far. */
  readonly sent: () => number
  /** Breaks the blob's connection after so many bytes, that many times. */
  readonly cutAfter: (digest: string, bytes: number, times: number) => void
  /** After so many bytes the blob's connection falls silent, once. */
  readonly stallAfter: (digest: string, bytes: number) => void
  /** Serves other bytes than the digest names, that many times. */
  readonly corrupt: (digest: string, times: number) => void
  readonly remove: (digest: string) => void
  readonly heal: () => void
  /** Ends the extraction child as a crash would. */
  readonly kill: () => Promise<void>
  /** Is anything at all open below this directory? */
  readonly isOpen: (directory: string) => Promise<boolean>
  readonly close: () => Promise<void>
}

const MIB = 1024 * 1024
/** Beyond the last checkpoint kept, with what the kernels at both ends hold. */
const RESENT_MOST = 16 * MIB

type States = Map<string, Uint8Array>

/** Keeps checkpoints as the daemon does, in memory. */
const keeper = (states: States, each: () => Effect.Effect<void> = () => Effect.void): Watch => ({
  progress: () => {},
  retrying: () => {},
  checkpoint: (kept) =>
    Effect.suspend(() => {
      for (const { job, state } of kept) states.set(job, state)
      return each()
    }),
})

/** Waits until a count has not grown for a second. */
const untilStill = (count: () => number): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (let before = -1; before !== count();) {
      before = count()
      yield* Effect.sleep(1_000)
    }
  })

/** What every body of `Carrier` promises: the real one, and the simulator's. */
export const carrierContract = (name: string, makeWorld: () => Promise<CarrierWorld>): void => {
  describe(name, () => {
    let world: CarrierWorld
    beforeAll(async () => {
      world = await makeWorld()
    })
    afterAll(() => world.close())

    const run = <A, E>(
      program: (carrier: Carrier["Service"]) => Effect.Effect<A, E>,
      { body } = world,
    ) => Effect.runPromise(Effect.provide(Effect.flatMap(Carrier, program), body))
    const resolveOf = (image: WorldImage, reference = image.tag) => ({
      repository: image.repository,
      reference,
      access: world.access,
      platform: null,
      bases: [],
      named: () => {},
      retrying: () => {},
    })
    const jobOf = (
      layer: WorldLayer,
      directory: string,
      more: Partial<FetchJob> = {},
    ): FetchJob => ({
      job: `layer/${layer.diffId}`,
      diffId: layer.diffId,
      bottom: true,
      directory,
      source: layer.source,
      access: world.access,
      base: null,
      whole: null,
      checkpoint: null,
      ...more,
    })

    describe("resolve", () => {
      test("by tag and by digest: what the registry holds", async () => {
        const image = await world.put([1000])
        const [byTag, byDigest] = await run((carrier) =>
          Effect.all([
            carrier.resolve(resolveOf(image)),
            carrier.resolve(resolveOf(image, image.digest)),
          ])
        )
        expect(byTag).toMatchObject({
          imageId: image.imageId,
          digest: image.digest,
          manifestDigest: image.digest,
          layers: image.layers.map(({ diffId, source }) => ({ diffId, source })),
        })
        expect(byDigest).toEqual(byTag)
      })
      test("what is not there is not found", async () => {
        const image = await world.put([1000])
        const fault = await run((carrier) => Effect.flip(carrier.resolve(resolveOf(image, "none"))))
        expect(fault.reason).toBe("notFound")
      })
      test("is said to be there before all of it is known, and else is not", async () => {
        const image = await world.put([1000])
        const named: string[] = []
        const ask = (reference: string) => (carrier: Carrier["Service"]) =>
          Effect.result(carrier.resolve({
            ...resolveOf(image, reference),
            named: () => named.push(reference),
          }))
        await run(ask(image.tag))
        await run(ask("none"))
        expect(named).toEqual([image.tag])
      })
    })

    describe("fetch", () => {
      test("answers what the layer holds once it is on the disk; again from nothing", async () => {
        const image = await world.put([100_000])
        const layer = image.layers[0]!
        const directory = world.directory()
        const progress: (readonly [number, number])[] = []
        const watch: Watch = {
          ...keeper(new Map()),
          progress: (current, total) => void progress.push([current, total]),
        }
        const [first, second] = await run((carrier) =>
          Effect.gen(function*() {
            const first = yield* carrier.fetch(jobOf(layer, directory), watch)
            const tree = yield* Effect.promise(() => world.tree(directory))
            const second = yield* carrier.fetch(jobOf(layer, directory), watch)
            expect(yield* Effect.promise(() => world.tree(directory))).toEqual(tree)
            return [first, second]
          })
        )
        expect(first).toMatchObject({ bytes: 100_000, tarBytes: layer.tarBytes })
        expect(second).toEqual(first)
        expect(progress.at(-1)).toEqual([layer.source.size, layer.source.size])
        expect(await world.isOpen(directory)).toBe(false)
      })
      test("goes on where the connection broke", async () => {
        const image = await world.put([2 * MIB])
        const layer = image.layers[0]!
        world.cutAfter(layer.source.digest, 700_000, 2)
        const causes: string[] = []
        const before = world.sent()
        await run((carrier) =>
          carrier.fetch(jobOf(layer, world.directory()), {
            ...keeper(new Map()),
            retrying: (cause) => void causes.push(cause),
          })
        )
        expect(causes).toHaveLength(2)
        expect(world.sent() - before).toBeLessThan(layer.source.size + MIB)
      })
      test("a blob damaged on its way is fetched anew, once", async () => {
        const image = await world.put([300_000])
        const layer = image.layers[0]!
        world.corrupt(layer.source.digest, 1)
        await run((carrier) => carrier.fetch(jobOf(layer, world.directory()), keeper(new Map())))
        world.corrupt(layer.source.digest, 2)
        const fault = await run((carrier) =>
          Effect.flip(carrier.fetch(jobOf(layer, world.directory()), keeper(new Map())))
        )
        expect(["digestMismatch", "damaged"]).toContain(fault.reason)
        world.heal()
      })
      test("another diff ID than the config names is a mismatch", async () => {
        const image = await world.put([1000])
        const job = jobOf(image.layers[0]!, world.directory(), {
          diffId: `sha256:${"0".repeat(64)}`,
        })
        const fault = await run((carrier) => Effect.flip(carrier.fetch(job, keeper(new Map()))))
        expect(fault.reason).toBe("digestMismatch")
      })
      test("a blob that is not there is not found", async () => {
        const image = await world.put([1000])
        world.remove(image.layers[0]!.source.digest)
        const fault = await run((carrier) =>
          Effect.flip(carrier.fetch(jobOf(image.layers[0]!, world.directory()), keeper(new Map())))
        )
        expect(fault.reason).toBe("notFound")
      })
    })

    describe("checkpoints", () => {
      test("come every 6 MiB or sooner, for all in flight together, one at a time", async () => {
        const image = await world.put([11 * MIB, 12 * MIB])
        const batches: (readonly string[])[] = []
        let open = 0
        const watch: Watch = {
          ...keeper(new Map()),
          checkpoint: (kept) =>
            Effect.gen(function*() {
              open += 1
              expect(open).toBe(1)
              batches.push(kept.map(({ job }) => job))
              yield* Effect.sleep(1)
              open -= 1
            }),
        }
        await run((carrier) =>
          Effect.all(
            image.layers.map((layer) => carrier.fetch(jobOf(layer, world.directory()), watch)),
            { concurrency: "unbounded" },
          )
        )
        expect(batches.length).toBeGreaterThanOrEqual(2)
        expect(batches.some((batch) => batch.length === 2)).toBe(true)
      })
      test("one that is not kept is the last, and receiving stops soon beyond it", async () => {
        // A world of its own: what the others have fetched and not kept would count as well.
        const own = await makeWorld()
        try {
          const [layer] = (await own.put([24 * MIB])).layers as [WorldLayer]
          const job = jobOf(layer, own.directory(), { access: own.access })
          let asked = 0
          const never = () => Effect.andThen(Effect.sync(() => asked += 1), Effect.never)
          await run((carrier) =>
            Effect.gen(function*() {
              const fiber = yield* Effect.forkChild(carrier.fetch(job, keeper(new Map(), never)))
              const isOver = () => fiber.pollUnsafe() !== undefined
              while (asked === 0 && !isOver()) yield* Effect.sleep(10)
              yield* untilStill(own.sent)
              expect(isOver()).toBe(false)
              yield* Fiber.interrupt(fiber)
            }), own)
          expect(asked).toBe(1)
          expect(own.sent()).toBeLessThanOrEqual(RESENT_MOST)
        } finally {
          await own.close()
        }
      })
      test("a fetch goes on from one after a crash, and ends the same", async () => {
        const image = await world.put([20 * MIB])
        const layer = image.layers[0]!
        const [straight, broken] = [world.directory(), world.directory()]
        const whole = await run((carrier) =>
          carrier.fetch(jobOf(layer, straight), keeper(new Map()))
        )
        const before = world.sent()
        const states: States = new Map()
        let kept = 0
        const watch = keeper(states, () =>
          ++kept === 2 ? Effect.promise(() => world.kill()) : Effect.void)
        const again = await run((carrier) =>
          Effect.gen(function*() {
            const fault = yield* Effect.flip(carrier.fetch(jobOf(layer, broken), watch))
            expect(fault.reason).toBe("lost")
            const checkpoint = states.get(`layer/${layer.diffId}`)!
            return yield* carrier.fetch(jobOf(layer, broken, { checkpoint }), keeper(new Map()))
          })
        )
        expect(again).toEqual(whole)
        expect(await world.tree(broken)).toEqual(await world.tree(straight))
        expect(world.sent() - before).toBeLessThan(layer.source.size + 16 * MIB)
      })
      test("an old one will do as well; one that cannot be read means starting over", async () => {
        const image = await world.put([18 * MIB])
        const layer = image.layers[0]!
        const directory = world.directory()
        const states: States[] = []
        const watch: Watch = {
          ...keeper(new Map()),
          checkpoint: (kept) =>
            Effect.sync(() =>
              void states.push(new Map(kept.map(({ job, state }) => [job, state])))
            ),
        }
        const whole = await run((carrier) => carrier.fetch(jobOf(layer, directory), watch))
        const tree = await world.tree(directory)
        const oldest = states[0]!.get(`layer/${layer.diffId}`)!
        for (const checkpoint of [oldest, oldest.subarray(0, 20), new Uint8Array(100)]) {
          const again = await run((carrier) =>
            carrier.fetch(jobOf(layer, directory, { checkpoint }), keeper(new Map()))
          )
          expect(again).toEqual(whole)
          expect(await world.tree(directory)).toEqual(tree)
        }
      })
    })

    describe("interruption", () => {
      test("returns when nothing is open below the directory any more", async () => {
        const image = await world.put([4 * MIB])
        const layer = image.layers[0]!
        const directory = world.directory()
        world.stallAfter(layer.source.digest, 2 * MIB)
        await run((carrier) =>
          Effect.gen(function*() {
            const before = world.sent()
            const fiber = yield* Effect.forkChild(
              carrier.fetch(jobOf(layer, directory), keeper(new Map())),
            )
            while (world.sent() - before < 2 * MIB) yield* Effect.sleep(10)
            yield* Fiber.interrupt(fiber)
            expect(yield* Effect.promise(() => world.isOpen(directory))).toBe(false)
            const tree = yield* Effect.promise(() => world.tree(directory))
            yield* Effect.sleep(100)
            expect(yield* Effect.promise(() => world.tree(directory))).toEqual(tree)
            yield* carrier.drop(directory)
            expect(yield* Effect.promise(() => world.tree(directory))).toBeNull()
          })
        )
        world.heal()
      })
      test("of one fetch leaves the others alone", async () => {
        const image = await world.put([3 * MIB, 9 * MIB])
        const [left, stays] = image.layers as [WorldLayer, WorldLayer]
        world.stallAfter(left.source.digest, MIB)
        await run((carrier) =>
          Effect.gen(function*() {
            const fiber = yield* Effect.forkChild(
              carrier.fetch(jobOf(left, world.directory()), keeper(new Map())),
            )
            const other = yield* Effect.forkChild(
              carrier.fetch(jobOf(stays, world.directory()), keeper(new Map())),
            )
            yield* Effect.sleep(50)
            yield* Fiber.interrupt(fiber)
            expect((yield* Fiber.join(other)).bytes).toBe(9 * MIB)
          })
        )
        world.heal()
      })
    })

    describe("archives", () => {
      test("one that is not there has nothing in it, and no layer comes of it", async () => {
        const path = `${world.directory()}.tar`
        const fault = await run((carrier) => Effect.flip(carrier.inspect(path)))
        expect(fault.reason).toBe("local")
        const [layer] = (await world.put([1000])).layers
        const source: Source = { kind: "archive", path, offset: 0, size: 1000 }
        const job = jobOf(layer!, world.directory(), { source })
        const lost = await run((carrier) => Effect.flip(carrier.fetch(job, keeper(new Map()))))
        expect(lost.reason).toBe("damaged")
      })
    })

    describe("drop", () => {
      test("removes everything, and what is not there", async () => {
        const image = await world.put([50_000])
        const directory = world.directory()
        await run((carrier) =>
          Effect.gen(function*() {
            yield* carrier.fetch(jobOf(image.layers[0]!, directory), keeper(new Map()))
            yield* carrier.drop(directory)
            yield* carrier.drop(directory)
          })
        )
        expect(await world.tree(directory)).toBeNull()
      })
    })
  })
}
