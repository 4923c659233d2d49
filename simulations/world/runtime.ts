import * as Effect from "effect/Effect"
import { attempt } from "../../src/kernel/host.ts"
import { signalNumber } from "../../src/kernel/processes.ts"
import { refusalOf } from "../../src/kernel/refusals.ts"
import {
  type Attachment,
  type Exit,
  RunFault,
  type RunPlan,
  type Runtime,
  StartFault,
  type Connected,
  type Started,
} from "../../src/kernel/runtime.ts"
import type { Weather } from "./carrier.ts"
import { Client, type Process, type Program, type SimProcesses, whim } from "./processes.ts"
import type { Life, Time } from "./time.ts"

/** What a simulated container is started from: the parts of a runtime spec that matter here. */
interface Spec {
  readonly process?: { readonly args?: readonly string[] }
  readonly linux?: { readonly resources?: { readonly memory?: { readonly limit?: number } } }
}

/** The program of a command line; a text: why the OCI runtime would not run it, as crun says it. */
export type Programs = (args: readonly string[]) => Program | string

const EXIT_ENGINE = 125
const EXIT_UNKNOWN: Exit = { exitCode: 255, oomKilled: false }

const notRunning = (id: string) => new RunFault({ cause: `container ${id} is not running` })

type Answer = (result: Effect.Effect<Attachment, RunFault>) => void

/** Where clients of one daemon wait for a container's start; its memory, gone with it. */
class Lobby {
  readonly #waiting = new Map<string, Set<Answer>>()

  enter(id: string, answer: Answer): Effect.Effect<void> {
    const waiting = this.#waiting.get(id) ?? new Set()
    this.#waiting.set(id, waiting.add(answer))
    return Effect.sync(() => waiting.delete(answer))
  }

  dismiss(id: string, result: () => Effect.Effect<Attachment, RunFault>): void {
    const waiting = this.#waiting.get(id) ?? []
    this.#waiting.delete(id)
    for (const answer of waiting) answer(result())
  }
}

/**
 * The simulated twin of conmon, the OCI runtime and the kernel below them, as one daemon (`life`)
 * meets them. It refuses any step now and then, and is killed between any two: survivable as every
 * name follows from the id, and a clean is tried again.
 */
class SimRuntime {
  readonly #time: Time
  readonly #life: Life
  readonly #processes: SimProcesses
  readonly #weather: Weather
  readonly #programs: Programs
  readonly #lobby = new Lobby()

  constructor(needs: RuntimeNeeds) {
    this.#time = needs.time
    this.#life = needs.life
    this.#processes = needs.processes
    this.#weather = needs.weather
    this.#programs = needs.programs ?? (() => whim)
  }

  readonly service: Runtime["Service"] = {
    start: (plan) => this.#start(plan),
    wait: (id, home, started) => this.#wait(id, home, started),
    signal: (id, started, signal) => this.#signal(id, started, signal),
    freeze: (id) =>
      this.#step(() => {
        const process = this.#processes.all.get(id)
        if (process?.exitOf !== null) return notRunning(id)
        process.freeze()
      }),
    thaw: (id) =>
      this.#step(() => {
        const process = this.#processes.all.get(id)
        if (process === undefined) return notRunning(id)
        process.thaw()
      }),
    clean: (id) =>
      Effect.suspend(() =>
        this.#processes.made.has(id) ? this.#step(() => this.#processes.clean(id)) : Effect.void
      ),
    remove: (home) => this.#step(() => this.#processes.remove(home)),
    attach: (id) => this.#attach(id),
    resize: (id) => Effect.asVoid(this.#running(id)),
    rotateLog: (_id, home, { bytes }) =>
      Effect.sync(() => this.#processes.rotate(home, bytes)),
    pids: (id) =>
      Effect.suspend(() => {
        const process = this.#processes.all.get(id)
        if (process === undefined) return Effect.fail(notRunning(id))
        return Effect.succeed(process.exitOf === null ? [process.pid] : [])
      }),
    connected: Effect.sync(() => this.#processes.connected()),
    limit: (id) => Effect.asVoid(this.#running(id)),
  }

  #refuses(): boolean {
    if (!this.#time.chance(this.#weather.stubborn)) return false
    this.#weather.injected++
    return true
  }

  /** A deed that takes a moment and may be refused. */
  #step(act: () => RunFault | void): Effect.Effect<void, RunFault> {
    return Effect.suspend(() => {
      const refusal = this.#refuses() ? new RunFault({ cause: "simulated" }) : act()
      return refusal === undefined ? Effect.void : Effect.fail(refusal)
    }).pipe(Effect.delay(this.#time.between(0, 20)), Effect.uninterruptible)
  }

  #running(id: string): Effect.Effect<Process, RunFault> {
    return Effect.suspend(() => {
      const process = this.#processes.all.get(id)
      return process?.exitOf === null ? Effect.succeed(process) : Effect.fail(notRunning(id))
    })
  }

  #start(plan: RunPlan): Effect.Effect<Connected, StartFault> {
    return Effect.suspend(() => {
      const { id } = plan
      const before = this.#processes.all.get(id)
      if (before === undefined) return this.#startAnew(plan)
      this.#lobby.dismiss(id, () => this.#connect(before))
      return Effect.succeed(before)
    }).pipe(
      Effect.map(({ pid, startTicks, plan }) => ({ pid, startTicks, endpoint: plan.endpoint })),
      Effect.tapError(({ cause }) =>
        Effect.sync(() =>
          this.#lobby.dismiss(plan.id, () => Effect.fail(new RunFault({ cause })))
        )
      ),
      Effect.uninterruptible,
    )
  }

  #startAnew(plan: RunPlan): Effect.Effect<Process, StartFault> {
    return Effect.gen({ self: this }, function*() {
      this.#processes.prepare(plan)
      yield* Effect.sleep(this.#time.between(0, 40))
      if (this.#refuses()) return yield* new StartFault({ exitCode: 127, cause: "simulated" })
      const root = { path: "/", read: () => null }
      const spec = yield* Effect.mapError(
        attempt(() => plan.spec(root) as Spec),
        ({ cause }) => new StartFault({ exitCode: EXIT_ENGINE, cause }),
      )
      const args = spec.process?.args ?? []
      const program = this.#programs(args)
      if (typeof program === "string") {
        return yield* new StartFault(refusalOf(program, args[0] ?? ""))
      }
      const memoryMax = spec.linux?.resources?.memory?.limit ?? Infinity
      const process = this.#processes.create(plan, program, memoryMax)
      this.#lobby.dismiss(plan.id, () => this.#connect(process))
      process.begin()
      yield* Effect.sleep(this.#time.between(0, 10))
      return process
    })
  }

  #connect(process: Process): Effect.Effect<Attachment> {
    return Effect.sync(() => new Client(this.#time, this.#life, process))
  }

  /** The end of a process, seen by whoever waits, or what conmon has written down of it. */
  #wait(id: string, home: string, started: Started): Effect.Effect<Exit> {
    return Effect.callback((resume) => {
      const process = this.#processes.find(id, started)
      const tell = () => resume(Effect.succeed(this.#processes.exitIn(home) ?? EXIT_UNKNOWN))
      if (process === undefined || process.exitOf !== null) return tell()
      process.waiters.add(tell)
      return Effect.sync(() => process.waiters.delete(tell))
    })
  }

  #signal(id: string, started: Started, signal: string): Effect.Effect<void, RunFault> {
    return this.#step(() => {
      const number = signalNumber(signal)
      if (number === null) {
        return new RunFault({ cause: `invalid signal for container ${id}: ${signal}` })
      }
      this.#processes.find(id, started)?.signal(number)
    })
  }

  #attach(id: string): Effect.Effect<Attachment, RunFault> {
    return Effect.callback((resume) => {
      const process = this.#processes.all.get(id)
      if (process?.exitOf === null) return resume(this.#connect(process))
      return this.#lobby.enter(id, resume)
    })
  }
}

export interface RuntimeNeeds {
  readonly time: Time
  /** Of the daemon. */
  readonly life: Life
  readonly processes: SimProcesses
  readonly weather: Weather
  /** What containers do; without it, as they like. */
  readonly programs?: Programs
}

/** The simulated body of `Runtime`, for one daemon. */
export const simRuntime = (needs: RuntimeNeeds): Runtime["Service"] => new SimRuntime(needs).service
