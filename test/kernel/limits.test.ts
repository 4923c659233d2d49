import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { readCgroups } from "../../src/kernel/cgroups.ts"
import { clean } from "../../src/kernel/clean.ts"
import { makeHost } from "../../src/kernel/runtime-linux.ts"
import { Runtime, type RunPlan } from "../../src/kernel/runtime.ts"
import { start } from "../../src/kernel/start.ts"
import { wait } from "../../src/kernel/wait.ts"
import { makeLinuxWorld, whyNot, type CommandOptions, type LinuxWorld } from "./runtime-world.ts"

const MIB = 1 << 20

describe.for(["crun", "runc"] as const)("Limits: %s", (runtime) => {
  describe.skipIf(whyNot(runtime) !== null)("on this machine", () => {
    let world: LinuxWorld
    let daemon: ManagedRuntime.ManagedRuntime<Runtime, never>
    const plans: RunPlan[] = []

    const ask = <A, E>(body: (runtime: Runtime["Service"]) => Effect.Effect<A, E>): Promise<A> =>
      daemon.runPromise(Effect.flatMap(Runtime, body))
    const planOf = (args: readonly string[], options?: CommandOptions): RunPlan => {
      const plan = world.command(`be${process.pid}-${plans.length}`, args, options)
      plans.push(plan)
      return plan
    }

    beforeAll(() => {
      world = makeLinuxWorld(runtime)
      daemon = ManagedRuntime.make(world.body())
    })
    afterEach(async () => {
      for (const plan of plans) await ask((r) => r.clean(plan.id, plan.home))
      expect(world.leftovers()).toEqual([])
    })
    afterAll(async () => {
      await daemon.dispose()
      world.close()
    })

    /** Bytes of memory the group may use, in either version of cgroups. */
    const memoryMax = (id: string): number => {
      for (const { mountPoint } of readCgroups().hierarchies) {
        for (const name of ["memory.limit_in_bytes", "memory.max"]) {
          const path = join(mountPoint, world.cgroupParent, id, name)
          if (existsSync(path)) return Number(readFileSync(path, "utf8"))
        }
      }
      throw new Error("the group has no memory controller")
    }

    test("they hold from the start and change while it runs", async () => {
      const plan = planOf(["sleep", "1000"], { memory: 64 * MIB })
      await ask((r) => r.start(plan))
      expect(memoryMax(plan.id)).toBe(64 * MIB)
      await ask((r) => r.limit(plan.id, { memory: { limit: 96 * MIB, swap: 96 * MIB } }))
      expect(memoryMax(plan.id)).toBe(96 * MIB)
    })

    test("one that the kernel refuses is a fault with the runtime's words", async () => {
      const plan = planOf(["sleep", "1000"])
      await ask((r) => r.start(plan))
      const absurd = { cpu: { quota: 1, period: 1 } }
      const fault = await ask((r) => Effect.flip(r.limit(plan.id, absurd)))
      expect(fault.cause).toMatch(/cpu/)
    })

    test("a spec that cannot be reckoned is the engine's fault, in its own words", async () => {
      const spec = () => {
        throw Object.assign(new Error("SpecFault"), { cause: "unable to find user nobody-here" })
      }
      const fault = await ask((r) => Effect.flip(r.start({ ...planOf(["true"]), spec })))
      expect(fault).toMatchObject({ exitCode: 125, cause: "unable to find user nobody-here" })
    })
  })
})

const isHybrid = readCgroups().layout === "hybrid"
const why = whyNot("crun") ?? whyNot("runc")

describe.skipIf(!isHybrid || why !== null)("A runtime unfit for the machine", () => {
  test("makes room for the next, once", async () => {
    const world = makeLinuxWorld("crun")
    const { conmon, runtimes } = makeHost({ ...world, runtime: null }).machine()
    const bare = runtimes.map((runtime) => ({ ...runtime, hideUnified: false }))
    let unfit = 0
    // As if the layout had been taken for one that crun can live with.
    const blind = {
      ...makeHost({ ...world, runtime: null }),
      machine: () => ({ conmon, runtimes: bare.slice(unfit) }),
      discard: () => unfit++,
    }
    for (const name of ["one", "two"]) {
      const plan = world.command(`be${process.pid}-${name}`, ["true"])
      const started = await Effect.runPromise(start(blind, plan))
      const exit = await Effect.runPromise(wait(blind, plan.id, plan.home, started))
      await Effect.runPromise(clean(blind, plan.id))
      expect(exit.exitCode).toBe(0)
    }
    expect(unfit).toBe(1)
    expect(world.leftovers()).toEqual([])
    world.close()
  })
})
