import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Directories } from "../../src/kernel/directories.ts"

/** A disk with directories that somebody else writes. */
export interface DirectoriesWorld {
  readonly body: Layer.Layer<Directories>
  /** The path of a directory that does not exist yet, in one that exists. */
  readonly fresh: () => string
  /** Makes a directory with something in it, and all above it. */
  readonly put: (path: string) => void
  readonly close: () => void
}

/** What every body of `Directories` must do. */
export const directoriesContract = (name: string, makeWorld: () => DirectoriesWorld): void => {
  describe(`Directories: ${name}`, () => {
    let world: DirectoriesWorld
    beforeAll(() => {
      world = makeWorld()
    })
    afterAll(() => world.close())

    const ask = <A>(body: (directories: Directories["Service"]) => Effect.Effect<A>): Promise<A> =>
      Effect.runPromise(Effect.provide(Effect.flatMap(Directories, body), world.body))
    const names = async (path: string) =>
      [...(await ask((directories) => directories.names(path)))].toSorted()
    const discard = (path: string) => ask((directories) => directories.discard(path))

    test("what is missing is made, and empty", async () => {
      const path = world.fresh()
      expect(await names(`${path}/a/b`)).toEqual([])
      expect(await names(`${path}/a/b`)).toEqual([])
      expect(await names(path)).toEqual(["a"])
    })

    test("names are those right below, each once", async () => {
      const path = world.fresh()
      for (const below of ["a/x", "a/y", "b", "ab/z"]) world.put(`${path}/${below}`)
      expect(await names(path)).toEqual(["a", "ab", "b"])
    })

    test("what is discarded is gone with all below it, and nothing beside it", async () => {
      const path = world.fresh()
      for (const below of ["a/x/deep", "a/y", "ab"]) world.put(`${path}/${below}`)
      await discard(`${path}/a`)
      expect(await names(path)).toEqual(["ab"])
      expect(await names(`${path}/a`)).toEqual([])
    })

    test("to discard what is not there is no error", async () => {
      const path = world.fresh()
      await discard(`${path}/no/such`)
      world.put(path)
      await discard(path)
      await discard(path)
      expect(await names(path)).toEqual([])
    })

    test("what is free is a part of what there is", async () => {
      const path = world.fresh()
      world.put(path)
      const free = await ask((directories) => directories.free(path))
      expect(free.bytes).toBeGreaterThan(0)
      expect(free.bytes).toBeLessThanOrEqual(free.totalBytes)
      if (free.files !== null) expect(free.files).toBeLessThanOrEqual(free.totalFiles)
    })
  })
}
