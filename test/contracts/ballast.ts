import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import type { Ballast } from "../../src/kernel/ballast.ts"

/** A disk that can be full, and engines on it one after another. */
export interface BallastWorld {
  /** The ballast as the next engine on this disk finds it. */
  readonly open: () => Ballast["Service"]
  /** Nothing of the ballast is there. */
  readonly clear: () => void
  readonly fill: () => void
  readonly makeRoom: () => void
  /** What is free, in some unit. */
  readonly room: () => number
  readonly close: () => void
}

/**
 * What every body of `Ballast` must do.
 * @param whyNot why this body cannot be had here; null: it can.
 */
export const ballastContract = (
  name: string, makeWorld: () => BallastWorld, whyNot: string | null = null,
): void => {
  describe.skipIf(whyNot !== null)(`Ballast: ${name} ${whyNot ?? ""}`, () => {
    let world: BallastWorld
    beforeAll(() => {
      world = makeWorld()
    })
    beforeEach(() => {
      world.makeRoom()
      world.clear()
    })
    afterAll(() => world?.close())

    test("is given up once, and has to be taken first", () => {
      const ballast = world.open()
      expect(ballast.give()).toBe(false)
      ballast.take()
      ballast.take()
      expect(ballast.give()).toBe(true)
      expect(ballast.give()).toBe(false)
      ballast.take()
      expect(ballast.give()).toBe(true)
    })

    test("what is given up is room", () => {
      const ballast = world.open()
      ballast.take()
      world.fill()
      const before = world.room()
      ballast.give()
      const after = world.room()
      expect(after).toBeGreaterThan(before)
      ballast.give()
      expect(world.room()).toBe(after)
    })

    test("is not taken from a disk that has little left", () => {
      const ballast = world.open()
      world.fill()
      ballast.take()
      expect(ballast.give()).toBe(false)
      world.makeRoom()
      ballast.take()
      expect(ballast.give()).toBe(true)
    })

    test("the next engine knows whether it is there", () => {
      world.open().take()
      const second = world.open()
      expect(second.give()).toBe(true)
      expect(world.open().give()).toBe(false)
      second.take()
      expect(world.open().give()).toBe(true)
    })
  })
}
