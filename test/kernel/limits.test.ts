import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { readCgroups } from "../../src/kernel/cgroups.ts"
import { makeHost } from "../../src/kernel/runtime-linux.ts"
import { Runtime } from "../../src/kernel/runtime.ts"
import { start } from "../../src/kernel/start.ts"
import { makeLinuxWorld, whyNot, type LinuxWorld } from "./runtime-world.ts"

const MIB = 1 << 20

describe.for(["crun", "runc"] as const)("Limits and fitness: %s", (runtime) => {
  describe.skipIf(whyNot(runtime) !== null)("on this machine", () => {
    let world: LinuxWorld
    let daemon: ManagedRuntime.ManagedRuntime<Runtime, never>
    const ask = <A, E>(body: (runtime: Runtime["Service"]) => Effect.Effect<A, E>): Promise<A> =>
      daemon.runPromise(Effect.flatMap(Runtime, body))
    beforeAll(() => {
      world = makeLinuxWorld(runtime)
      daemon = ManagedRuntime.make(world.body())
    })
    afterAll(async () => {
      expect(world.leftovers()).toEqual([])
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

    test("limits hold from the start and change while it runs", async () => {
      const plan = world.command(`be${process.pid}-limits`, ["sleep", "1000"], { memory: 64 * MIB })
      await ask((r) => r.start(plan))
      expect(memoryMax(plan.id)).toBe(64 * MIB)
      await ask((r) => r.limit(plan.id, { memory: { limit: 96 * MIB, swap: 96 * MIB } }))
      expect(memoryMax(plan.id)).toBe(96 * MIB)
      await expect(ask((r) => r.limit(plan.id, { memory: { limit: 1 } }))).rejects.toThrow()
      await ask((r) => r.clean(plan.id, plan.home))
    })

    test("a spec that cannot be reckoned is the engine's fault, in its own words", async () => {
      const plan = world.command(`be${process.pid}-spec`, ["true"])
      const refusing = {
        ...plan,
        spec: () => {
          throw Object.assign(new Error("SpecFault"), { cause: "unable to find user nobody-here" })
        },
      }
      const fault = await ask((r) => Effect.flip(r.start(refusing)))
      expect(fault).toMatchObject({ exitCode: 125, cause: "unable to find user nobody-here" })
      await ask((r) => r.clean(plan.id, plan.home))
    })

    const isHybrid = readCgroups().layout === "hybrid"
    test.skipIf(runtime !== "crun" || !isHybrid || whyNot("runc") !== null)(
      "a runtime unfit for the machine makes room for the next, once",
      async () => {
        const { execRoot, cgroupParent } = world
        const host = makeHost({ execRoot, runtime: null, cgroupParent })
        // As if the layout had been taken for one that crun can live with.
        const found = { ...host.machine(), runtimes: host.machine().runtimes.map((it) => ({ ...it, hideUnified: false })) }
        let unfit = 0
        const blind = {
          ...host,
          machine: () => ({ ...found, runtimes: found.runtimes.slice(unfit) }),
          discard: () => unfit++,
        }
        for (const name of ["one", "two"]) {
          const plan = world.command(`be${process.pid}-${name}`, ["true"])
          const started = await Effect.runPromise(start(blind, plan))
          expect((await ask((r) => r.wait(plan.id, plan.home, started))).exitCode).toBe(0)
          await ask((r) => r.clean(plan.id, plan.home))
        }
        expect(unfit).toBe(1)
      },
    )
  })
})
