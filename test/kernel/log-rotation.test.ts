import { existsSync, readFileSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { linesOf, LogJoiner } from "../../src/engine/flows/log-lines.ts"
import { logFiles } from "../../src/kernel/logfile.ts"
import { Runtime, type RunPlan } from "../../src/kernel/runtime.ts"
import { makeLinuxWorld, whyNot, type LinuxWorld } from "./runtime-world.ts"

const LINES = 30_000
const COUNTS = `i=0; while [ $i -lt ${LINES} ]; do echo "line $i"; i=$((i+1)); done`

describe.skipIf(whyNot("crun") !== null)("the rotation of a log", () => {
  let world: LinuxWorld
  let daemon: ManagedRuntime.ManagedRuntime<Runtime, never>
  let plan: RunPlan
  let count = 0
  const ask = <A, E>(body: (runtime: Runtime["Service"]) => Effect.Effect<A, E>): Promise<A> =>
    daemon.runPromise(Effect.flatMap(Runtime, body))
  const begin = async (script: string) => {
    plan = world.command(`log${process.pid}-${count++}`, ["sh", "-c", script])
    const started = await ask((r) => r.start(plan))
    let over = false
    const ended = ask((r) => r.wait(plan.id, plan.home, started)).then(() => (over = true))
    return { ended, isOver: () => over }
  }
  const rotate = (bytes: number, files: number) =>
    ask((r) => r.rotateLog(plan.id, plan.home, { bytes, files }))
  /** The numbers of the lines that are left, oldest file first. */
  const numbers = (): number[] => {
    const joiner = new LogJoiner({ stdout: true, stderr: true, sinceNs: null, untilNs: null })
    return logFiles(plan.home).flatMap((path) => [...linesOf(readFileSync(path))])
      .flatMap((line) => joiner.take(line) ?? [])
      .map(({ data }) => Number(/^line (\d+)\n$/.exec(data.toString())?.[1]))
  }
  const consecutive = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, at) => from + at)

  beforeAll(() => {
    world = makeLinuxWorld("crun")
    daemon = ManagedRuntime.make(world.body())
  })
  afterEach(async () => {
    await ask((r) => r.clean(plan.id, plan.home))
    await ask((r) => r.remove(plan.home))
    expect(world.leftovers()).toEqual([])
  })
  afterAll(async () => {
    await daemon.dispose()
    world.close()
  })

  test("loses no line and mixes none up, while the container writes", async () => {
    const { ended, isOver } = await begin(COUNTS)
    let rotations = 0
    while (!isOver()) {
      if (await rotate(40_000, 1000)) rotations++
      await sleep(1)
    }
    await ended
    expect(rotations).toBeGreaterThan(2)
    expect(numbers()).toEqual(consecutive(0, LINES))
  })

  test("keeps as many files as were asked for, the newest", async () => {
    const { ended, isOver } = await begin(COUNTS)
    while (!isOver()) {
      await rotate(40_000, 3)
      await sleep(1)
    }
    await ended
    const files = logFiles(plan.home).length
    expect(files).toBeGreaterThan(1)
    expect(files).toBeLessThanOrEqual(3)
    const left = numbers()
    expect(left.at(-1)).toBe(LINES - 1)
    expect(left).toEqual(consecutive(left[0]!, LINES))
    expect(left[0]).toBeGreaterThan(0)
  })

  test("with one file it begins anew", async () => {
    await begin("echo line 1; sleep 1000")
    while (!existsSync(join(plan.home, "log")) || statSync(join(plan.home, "log")).size === 0) {
      await sleep(5)
    }
    expect(await rotate(1_000_000, 1)).toBe(false)
    expect(numbers()).toEqual([1])
    expect(await rotate(1, 1)).toBe(true)
    expect(logFiles(plan.home)).toEqual([join(plan.home, "log")])
    expect(numbers()).toEqual([])
  })

  test("one that a crash cut short is made up for", async () => {
    await begin("trap 'echo line 2' USR1; echo line 1; while :; do sleep 0.05; done")
    while (numbers().length === 0) await sleep(5)
    rmSync(join(plan.home, "log")) // conmon goes on writing to what has no name any more
    expect(await rotate(1_000_000, 2)).toBe(true)
    const [pid] = await ask((r) => r.pids(plan.id))
    process.kill(pid!, "SIGUSR1")
    while (numbers().length === 0) await sleep(5)
    expect(numbers()).toEqual([2])
  })
})
