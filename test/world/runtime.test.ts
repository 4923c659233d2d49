import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { expect, test } from "vitest"
import { type Program, SimProcesses } from "../../simulations/world/processes.ts"
import { type Programs, simRuntime } from "../../simulations/world/runtime.ts"
import { SimDirectories } from "../../simulations/world/disk.ts"
import { Life, Time } from "../../simulations/world/time.ts"
import { Runtime } from "../../src/kernel/runtime.ts"
import { runtimeContract, type Program as Deed, type World } from "../contracts/runtime.ts"
import { playing } from "./playing.ts"

const MIB = 1024 * 1024
const SIGTERM = 15

/** A command line and what becomes of it, as in a root file system of our own. */
const argsOf = (program: Deed): readonly string[] => {
  switch (program.does) {
    case "exit":
      return ["exit", String(program.code)]
    case "print":
      return ["print", program.stdout, program.stderr]
    case "missing":
      return ["nope"]
    default:
      return [program.does]
  }
}

const programs: Programs = ([name = "", ...args]): Program | string => {
  switch (name) {
    case "exit":
      return { begin: (self) => self.later(3, () => self.exit(Number(args[0]))) }
    case "print":
      return {
        begin: (self) => {
          self.print(1, args[0]!)
          self.print(2, args[1]!)
          self.later(1, () => self.exit(0))
        },
      }
    case "copy":
      return {
        begin: () => {},
        hear: (self, data) => data === null ? self.exit(0) : self.print(1, data),
      }
    case "serve":
      return {
        begin: (self) => self.later(2, () => self.print(1, "ready\n")),
        signal: (self, number) => number === SIGTERM ? self.exit(7) : self.die(number),
      }
    case "hog":
      return { begin: (self) => self.later(1, () => self.take(64 * MIB)) }
    case "unrunnable":
      return "open executable: Permission denied"
    default:
      return `executable file \`${name}\` not found in $PATH`
  }
}

interface SimWorld extends World {
  readonly processes: SimProcesses
}

const simWorld = (seed: number): SimWorld => {
  const time = new Time(seed)
  const { body, stop } = playing(time)
  const processes = new SimProcesses(time, new SimDirectories())
  const weather = { flaky: 0, broken: 0, stubborn: 0, injected: 0 }
  const daemon = Layer.effect(
    Runtime,
    Effect.acquireRelease(
      Effect.sync(() => new Life()),
      (life) => Effect.sync(() => (life.alive = false)),
    ).pipe(Effect.map((life) => simRuntime({ time, life, processes, weather, programs }))),
  )
  return {
    processes,
    body: () => Layer.merge(Layer.fresh(daemon), body),
    plan: (id, program) => ({
      id,
      lower: [],
      home: `/data/containers/${id}`,
      files: {},
      folders: [],
      shmBytes: null,
      spec: () => ({
        process: { args: argsOf(program) },
        linux: { resources: { memory: program.does === "hog" ? { limit: 16 * MIB } : {} } },
      }),
      terminal: false,
      stdin: program.does === "copy",
      stdinOnce: program.does === "copy",
      log: true,
      journal: null,
      endpoint: null,
    }),
    leftovers: () => [...processes.made],
    close: stop,
  }
}

for (const seed of [1, 2, 3]) runtimeContract(`simulated, seed ${seed}`, () => simWorld(seed))

/** Two runs of one container, with the power cut in the middle of the second; how that ended. */
const cutRun = async (seed: number, first: Deed, second: Deed): Promise<readonly number[]> => {
  const world = simWorld(seed)
  const exits = Effect.gen(function*() {
    const runtime = yield* Runtime
    const runs = [world.plan("a", first), world.plan("a", second)] as const
    const { id, home } = runs[0]
    const ended = yield* runtime.wait(id, home, yield* runtime.start(runs[0]))
    yield* runtime.clean(id, home)
    const started = yield* runtime.start(runs[1])
    if (second.does !== "serve") yield* runtime.wait(id, home, started)
    world.processes.cut()
    expect(world.leftovers()).toEqual([])
    return [ended.exitCode, (yield* runtime.wait(id, home, started)).exitCode]
  })
  try {
    return await Effect.runPromise(Effect.provide(exits, world.body()))
  } finally {
    world.close()
  }
}

const SEEDS = Array.from({ length: 20 }, (_, seed) => seed)

test("a power cut ends what runs, and brings no exit code of an earlier run back", async () => {
  for (const seed of SEEDS) {
    expect(await cutRun(seed, { does: "exit", code: 3 }, { does: "serve" })).toEqual([3, 255])
  }
})

test("of a run that had ended, the exit code outlives a power cut or is lost", async () => {
  const codes = new Set<number>()
  for (const seed of SEEDS) {
    const [, code] = await cutRun(seed, { does: "exit", code: 3 }, { does: "exit", code: 4 })
    codes.add(code!)
  }
  expect([...codes].toSorted((a, b) => a - b)).toEqual([4, 255])
})
