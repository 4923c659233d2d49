import { afterAll, afterEach, beforeAll, expect } from "vitest"
import { EmbeddedRegistry, type RegistryOptions } from "../../simulations/world/registry.ts"
import { type Corner, type Engine, openCorner } from "./engine.ts"
import { type Belongings, belongings, clearOut, expectIntact, furnish } from "./intact.ts"

/** A device to which bad things happen, one a test. */
export interface Furnished {
  readonly corner: Corner
  readonly engine: Engine
  readonly before: Belongings
  /** Starts a registry, which is closed after the test. */
  readonly registry: (options?: RegistryOptions) => Promise<EmbeddedRegistry>
}

/**
 * An engine that has something to lose, for all tests of a suite: after each of them it has it.
 * `more`: what else it is to have.
 */
export const furnishedEngine = (
  name: string,
  more: (engine: Engine) => Promise<unknown> = () => Promise.resolve(),
): Furnished => {
  let corner: Corner
  let engine: Engine
  let before: Belongings
  const registries: EmbeddedRegistry[] = []

  beforeAll(async () => {
    corner = await openCorner()
    engine = await corner.start({ name })
    await furnish(engine)
    await more(engine)
    before = await belongings(engine)
  })
  afterEach(async () => {
    for (const registry of registries.splice(0)) await registry.close()
    await expectIntact(corner, before)
  })
  afterAll(async () => {
    await clearOut(engine)
    expect(await engine.stop()).toBe(0)
    await corner[Symbol.asyncDispose]()
  })
  return {
    get corner() {
      return corner
    },
    get engine() {
      return engine
    },
    get before() {
      return before
    },
    registry: async (options) => {
      const registry = await EmbeddedRegistry.start(options)
      registries.push(registry)
      return registry
    },
  }
}
