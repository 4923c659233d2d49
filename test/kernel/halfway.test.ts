import { spawn } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { bundleOf, readRecord } from "../../src/kernel/bundle.ts"
import { Runtime, type RunPlan, type Started } from "../../src/kernel/runtime.ts"
import { makeLinuxWorld, whyNot, type LinuxWorld } from "./runtime-world.ts"

const STARTER = join(import.meta.dirname, "starter.ts")

describe.skipIf(whyNot("crun") !== null)("A daemon or its helpers killed at a bad moment", () => {
  let world: LinuxWorld
  let daemon: ManagedRuntime.ManagedRuntime<Runtime, never>
  let counter = 0

  const ask = <A, E>(body: (runtime: Runtime["Service"]) => Effect.Effect<A, E>): Promise<A> =>
    daemon.runPromise(Effect.flatMap(Runtime, body))
  const planOf = (args: readonly string[]): RunPlan =>
    world.command(`be${process.pid}-${counter++}`, args)
  const finish = async (plan: RunPlan, started: Started) => {
    const exit = await ask((r) => r.wait(plan.id, plan.home, started))
    await ask((r) => r.clean(plan.id, plan.home))
    return exit
  }
  /** conmon's pid, as a later daemon would know it. */
  const conmonOf = (plan: RunPlan): number =>
    readRecord(bundleOf(world.execRoot, plan.id))!.conmon!.pid

  /** Starts `plan` in a process of its own and kills that after so many milliseconds. */
  const startAndDie = async (plan: RunPlan, afterMs: number) => {
    const child = spawn(process.execPath, [
      STARTER, world.execRoot, plan.lower[0]!, plan.home, join(world.cgroupParent, plan.id),
    ], { stdio: ["ignore", "pipe", "inherit"] })
    const ended = new Promise((resolve) => child.once("exit", resolve))
    await new Promise((resolve) => child.stdout.once("data", resolve))
    await setTimeout(afterMs)
    child.kill("SIGKILL")
    await ended
  }

  beforeAll(() => {
    world = makeLinuxWorld("crun")
    daemon = ManagedRuntime.make(world.body())
  })
  afterEach(() => expect(world.leftovers()).toEqual([]))
  afterAll(async () => {
    await daemon.dispose()
    world.close()
  })

  test.each([0, 10, 20, 30, 40, 60])("clean undoes a start killed after %i ms", async (afterMs) => {
    const plan = planOf([])
    await startAndDie(plan, afterMs)
    await ask((r) => r.clean(plan.id, plan.home))
  })

  test.each([15, 25, 40])("start goes through after one killed after %i ms", async (afterMs) => {
    const plan = planOf(["sleep", "1000"])
    await startAndDie(plan, afterMs)
    const started = await ask((r) => r.start(plan))
    expect(await ask((r) => r.pids(plan.id))).toEqual([started.pid])
    await ask((r) => r.signal(plan.id, started, "KILL"))
    expect((await finish(plan, started)).exitCode).toBe(137)
  })

  test("a container that lost its conmon is ended, and the wait with it", async () => {
    const plan = planOf(["sleep", "1000"])
    const started = await ask((r) => r.start(plan))
    const waiting = finish(plan, started)
    process.kill(conmonOf(plan), "SIGKILL")
    expect(await waiting).toEqual({ exitCode: 137, oomKilled: false })
  })

  test("a container that died with its conmon does not keep anybody waiting", async () => {
    const plan = planOf(["sleep", "1000"])
    const started = await ask((r) => r.start(plan))
    const conmon = conmonOf(plan)
    process.kill(conmon, "SIGSTOP")
    process.kill(started.pid, "SIGKILL")
    process.kill(conmon, "SIGKILL")
    await setTimeout(50)
    // Nobody may have reaped it: then it still takes the signal that ends what lost its conmon.
    expect((await finish(plan, started)).exitCode).toBeOneOf([137, 255])
  })

  test("a conmon that hangs does not hold up a clean", async () => {
    const plan = planOf(["sleep", "1000"])
    await ask((r) => r.start(plan))
    process.kill(conmonOf(plan), "SIGSTOP")
    await ask((r) => r.clean(plan.id, plan.home))
  })

  test("a run leaves no descriptor open and no mount in another container's conmon", async () => {
    const first = planOf(["true"])
    const other = planOf(["sleep", "1000"])
    const started = await ask((r) => r.start(first))
    const long = await ask((r) => r.start(other))
    await finish(first, started)
    const mounts = readFileSync(`/proc/${conmonOf(other)}/mountinfo`, "utf8")
    expect(mounts).not.toContain(join("bundles", first.id))
    const before = readdirSync("/proc/self/fd").length
    for (let run = 0; run < 5; run++) {
      const plan = planOf(["true"])
      await finish(plan, await ask((r) => r.start(plan)))
    }
    expect(readdirSync("/proc/self/fd").length).toBe(before)
    await ask((r) => r.signal(other.id, long, "KILL"))
    await finish(other, long)
  })
})
