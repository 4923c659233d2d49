import * as Effect from "effect/Effect"
import {
  type Exit,
  RunFault,
  type Runtime,
  StartFault,
  type Started,
} from "../../src/kernel/runtime.ts"
import type { Weather } from "./carrier.ts"
import { Violation } from "./disk.ts"
import { Life, type Time } from "./time.ts"

interface Process extends Started {
  exit: Exit | null
  frozen: boolean
  /** A signal that came while it was frozen. */
  pending: string | null
  readonly waiters: Set<() => void>
}

const EXIT_UNKNOWN: Exit = { exitCode: 255, oomKilled: false }

/**
 * The simulated kernel's processes: they live on when the engine is killed, and end with the power.
 * `made` is everything a start leaves in the kernel; a clean must take it away.
 */
export class SimProcesses {
  readonly all = new Map<string, Process>()
  readonly made = new Set<string>()
  /** Directories of containers, as `remove` and the sweep see them. */
  readonly homes = new Set<string>()
  readonly #time: Time
  #life = new Life()
  #pids = 100

  constructor(time: Time) {
    this.#time = time
  }

  start(id: string): Process {
    const there = this.all.get(id)
    if (there !== undefined && there.exit === null) throw new Violation(`${id} runs twice`)
    const process: Process = {
      pid: this.#pids++,
      startTicks: Math.floor(this.#time.monoMs / 10),
      exit: null,
      frozen: false,
      pending: null,
      waiters: new Set(),
    }
    this.all.set(id, process)
    if (this.#time.chance(0.7)) {
      const exitCode = this.#time.chance(0.5) ? 0 : this.#time.between(1, 100)
      this.#time.later(this.#life, this.#time.between(1, 20_000), () => {
        if (!process.frozen) this.end(process, { exitCode, oomKilled: false })
      })
    }
    return process
  }

  end(process: Process, exit: Exit): void {
    if (process.exit !== null) return
    process.exit = exit
    for (const wake of [...process.waiters]) wake()
  }

  signal(process: Process, signal: string): void {
    if (process.frozen) {
      process.pending = signal
      return
    }
    const kills = signal === "SIGKILL" || this.#time.chance(0.7)
    if (!kills) return
    const exitCode = signal === "SIGKILL" ? 137 : 143
    this.#time.later(this.#life, this.#time.between(0, 50), () =>
      this.end(process, { exitCode, oomKilled: false }))
  }

  freeze(id: string, frozen: boolean): void {
    const process = this.all.get(id)
    if (process === undefined) return
    process.frozen = frozen
    const { pending } = process
    if (frozen || pending === null) return
    process.pending = null
    this.signal(process, pending)
  }

  /** The power fails: nothing of the kernel is left. */
  cut(): void {
    this.#life.alive = false
    this.#life = new Life()
    this.all.clear()
    this.made.clear()
  }
}

/** The simulated twin of conmon, the OCI runtime and the kernel below them. */
export const simRuntime = (
  time: Time,
  processes: SimProcesses,
  weather: Weather,
): Runtime["Service"] => {
  const refuses = () => {
    if (!time.chance(weather.stubborn)) return false
    weather.injected++
    return true
  }
  const step = <A>(act: () => A): Effect.Effect<A, RunFault> =>
    Effect.andThen(
      Effect.sleep(time.between(0, 20)),
      Effect.suspend(() =>
        refuses() ? Effect.fail(new RunFault({ cause: "simulated" })) : Effect.sync(act)
      ),
    )
  const find = (id: string, { pid }: Started): Process | undefined => {
    const process = processes.all.get(id)
    return process?.pid === pid ? process : undefined
  }

  return {
    start: ({ id, home }) =>
      Effect.gen(function*() {
        const running = processes.all.get(id)
        if (running !== undefined) return { pid: running.pid, startTicks: running.startTicks }
        processes.made.add(id)
        processes.homes.add(home)
        yield* Effect.sleep(time.between(0, 40))
        if (refuses()) return yield* new StartFault({ exitCode: 127, cause: "simulated" })
        const { pid, startTicks } = processes.start(id)
        yield* Effect.sleep(time.between(0, 10))
        return { pid, startTicks }
      }),
    wait: (id, _home, started) =>
      Effect.callback<Exit>((resume) => {
        const process = find(id, started)
        if (process === undefined) return resume(Effect.succeed(EXIT_UNKNOWN))
        const tell = () => resume(Effect.succeed(process.exit!))
        if (process.exit !== null) return tell()
        process.waiters.add(tell)
        return Effect.sync(() => process.waiters.delete(tell))
      }),
    signal: (id, started, signal) =>
      step(() => {
        const process = find(id, started)
        if (process !== undefined && process.exit === null) processes.signal(process, signal)
      }),
    freeze: (id) => step(() => processes.freeze(id, true)),
    thaw: (id) => step(() => processes.freeze(id, false)),
    clean: (id) =>
      step(() => {
        const process = processes.all.get(id)
        if (process !== undefined) processes.end(process, { exitCode: 137, oomKilled: false })
        processes.all.delete(id)
        processes.made.delete(id)
      }),
    remove: (home) => step(() => void processes.homes.delete(home)),
    attach: () => Effect.fail(new RunFault({ cause: "no streams in the simulation" })),
    resize: () => Effect.void,
    pids: () => Effect.succeed([]),
    limit: () => Effect.void,
  }
}
