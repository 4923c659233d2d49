import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Wal } from "../../src/kernel/wal.ts"

/** A database on a disk whose power can fail. */
export interface WalWorld {
  readonly body: Layer.Layer<Wal>
  /** Commits one transaction that says this number. */
  readonly commit: (note: number) => void
  /** Empties the log into the database. */
  readonly empty: () => void
  /** The power fails: the numbers that the disk still knows, in their order. Comes last. */
  readonly cut: () => Promise<readonly number[]>
  readonly close: () => Promise<void>
}

const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, n) => n)

/**
 * What every body of `Wal` must do.
 * @param whyNot why this body cannot be had here; null: it can.
 */
export const walContract = (
  name: string, makeWorlds: () => Promise<{
    readonly make: () => Promise<WalWorld>
    readonly close: () => Promise<void>
  }>, whyNot: string | null = null,
): void => {
  describe.skipIf(whyNot !== null)(`Wal: ${name} ${whyNot ?? ""}`, () => {
    let worlds: Awaited<ReturnType<typeof makeWorlds>>
    beforeAll(async () => {
      worlds = await makeWorlds()
    })
    afterAll(() => worlds.close())

    const inWorld = async (
      play: (world: WalWorld, wal: Wal["Service"]) => Effect.Effect<void>,
    ): Promise<void> => {
      const world = await worlds.make()
      try {
        const playing = Effect.flatMap(Wal, (wal) => play(world, wal))
        await Effect.runPromise(Effect.provide(playing, world.body))
      } finally {
        await world.close()
      }
    }
    const commitAll = ({ commit }: WalWorld, notes: readonly number[]) => {
      for (const note of notes) commit(note)
    }

    test("what was committed before a sync outlives a cut; of the rest what came first", () =>
      inWorld((world, wal) =>
        Effect.gen(function*() {
          commitAll(world, upTo(5))
          yield* wal.sync
          commitAll(world, upTo(12).slice(5))
          const left = yield* Effect.promise(world.cut)
          expect(left.length).toBeGreaterThanOrEqual(5)
          expect(left).toEqual(upTo(left.length))
        })
      ))

    test("each of several syncs at once answers for what came before it", () =>
      inWorld((world, wal) =>
        Effect.gen(function*() {
          commitAll(world, upTo(3))
          const first = yield* Effect.forkChild(wal.sync)
          commitAll(world, upTo(6).slice(3))
          yield* wal.sync
          yield* Fiber.join(first)
          expect(yield* Effect.promise(world.cut)).toEqual(upTo(6))
        })
      ))

    test("a sync with nothing to do is no error", () =>
      inWorld((world, wal) =>
        Effect.gen(function*() {
          yield* wal.sync
          commitAll(world, [0])
          yield* wal.sync
          yield* wal.sync
          expect(yield* Effect.promise(world.cut)).toEqual([0])
        })
      ))

    test("an emptied log has no size, and what was in it is not lost", () =>
      inWorld((world, wal) =>
        Effect.gen(function*() {
          commitAll(world, upTo(9))
          yield* wal.sync
          expect(wal.size()).toBeGreaterThanOrEqual(0)
          world.empty()
          expect(wal.size()).toBe(0)
          commitAll(world, [9])
          yield* wal.sync
          expect(yield* Effect.promise(world.cut)).toEqual(upTo(10))
        })
      ))
  })
}
