import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Result from "effect/Result"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import {
  type Attachment, type RunFault, type RunPlan, Runtime, type Started,
} from "../../src/kernel/runtime.ts"

/** What a container of this suite does; each world says how. */
export type Program =
  | { readonly does: "exit"; readonly code: number }
  /** Writes both, then exits 0. */
  | { readonly does: "print"; readonly stdout: string; readonly stderr: string }
  /** Copies stdin to stdout until its end, then exits 0. */
  | { readonly does: "copy" }
  /** Writes `ready`, runs until SIGTERM, then exits 7. */
  | { readonly does: "serve" }
  /** No such program. */
  | { readonly does: "missing" }
  /** A file that is no program. */
  | { readonly does: "unrunnable" }
  /** Takes more memory than its limit of 16 MiB. */
  | { readonly does: "hog" }

/** One machine. It outlives its daemons: each call of `body` is a new one on the same paths. */
export interface World {
  readonly body: () => Layer.Layer<Runtime>
  readonly plan: (id: string, program: Program) => RunPlan
  /** Whatever the machine still has of containers: mounts, groups, processes, bundles. */
  readonly leftovers: () => readonly string[]
  readonly close: () => void
}

interface Output {
  readonly stdout: () => string
  readonly stderr: () => string
  /** Resolves once stdout holds this text. */
  readonly saw: (text: string) => Promise<void>
  readonly ended: Promise<void>
}

/** Reads everything an attachment brings. */
export const collect = (attachment: Attachment): Output => {
  const text = { 1: "", 2: "" }
  const watchers = new Set<() => void>()
  const ended = new Promise<void>((resolve) => {
    attachment.read((stream, data) => {
      text[stream] += data.toString("latin1")
      for (const watcher of watchers) watcher()
      return true
    }, resolve)
  })
  const saw = (wanted: string) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (!text[1].includes(wanted)) return
        watchers.delete(look)
        resolve()
      }
      watchers.add(look)
      look()
    })
  return { stdout: () => text[1], stderr: () => text[2], saw, ended }
}

let counter = 0

/**
 * What every body of `Runtime` must do.
 * @param whyNot why this body cannot be had here; null: it can.
 */
export const runtimeContract = (
  name: string, makeWorld: () => World, whyNot: string | null = null,
): void => {
  describe.skipIf(whyNot !== null)(`Runtime: ${name} ${whyNot ?? ""}`, () => {
    let world: World
    let daemon: ManagedRuntime.ManagedRuntime<Runtime, never>
    const cleaning: RunPlan[] = []

    const boot = () => daemon = ManagedRuntime.make(world.body())
    const restart = async () => {
      await daemon.dispose()
      boot()
    }
    const ask = <A, E>(body: (runtime: Runtime["Service"]) => Effect.Effect<A, E>): Promise<A> =>
      daemon.runPromise(Effect.flatMap(Runtime, body))
    const tried = <A, E>(body: (runtime: Runtime["Service"]) => Effect.Effect<A, E>) =>
      daemon.runPromise(Effect.result(Effect.flatMap(Runtime, body)))
    const planOf = (program: Program): RunPlan => {
      const plan = world.plan(`be${process.pid}-${++counter}`, program)
      cleaning.push(plan)
      return plan
    }
    /** Starts with a client attached from before, so that every byte is seen. */
    const startAttached = async (plan: RunPlan) => {
      const [attachment, started] = await ask((runtime) =>
        Effect.all([runtime.attach(plan.id), runtime.start(plan)], { concurrency: "unbounded" })
      )
      return { attachment, started, output: collect(attachment) }
    }
    const wait = (plan: RunPlan, started: Started) =>
      ask((r) => r.wait(plan.id, plan.home, started))
    const clean = (plan: RunPlan) => ask((r) => r.clean(plan.id, plan.home))

    beforeAll(() => {
      world = makeWorld()
      boot()
    })
    afterEach(async () => {
      for (const plan of cleaning.splice(0)) {
        await clean(plan)
        await ask((r) => r.remove(plan.home))
      }
      expect(world.leftovers()).toEqual([])
    })
    afterAll(async () => {
      await daemon.dispose()
      world.close()
    })

    test("a program's exit code is the container's", async () => {
      const plan = planOf({ does: "exit", code: 42 })
      const started = await ask((r) => r.start(plan))
      expect(await wait(plan, started)).toEqual({ exitCode: 42, oomKilled: false })
      expect(await wait(plan, started)).toEqual({ exitCode: 42, oomKilled: false })
    })

    test("stdout and stderr come apart, whole for who attached before the start", async () => {
      const plan = planOf({ does: "print", stdout: "one\ntwo", stderr: "three" })
      const { output, started } = await startAttached(plan)
      await output.ended
      expect([output.stdout(), output.stderr()]).toEqual(["one\ntwo", "three"])
      expect((await wait(plan, started)).exitCode).toBe(0)
    })

    test("stdin goes in, and its end is the program's end of file", async () => {
      const plan = planOf({ does: "copy" })
      const { attachment, output, started } = await startAttached(plan)
      attachment.write(Buffer.from("there and back"), () => {})
      await output.saw("there and back")
      attachment.closeStdin()
      await output.ended
      expect((await wait(plan, started)).exitCode).toBe(0)
    })

    test("stdin stays open behind a client that leaves, where it is to", async () => {
      const plan = { ...planOf({ does: "copy" }), stdinOnce: false }
      const { attachment } = await startAttached(plan)
      attachment.closeStdin()
      attachment.close()
      const second = await ask((r) => r.attach(plan.id))
      const output = collect(second)
      second.write(Buffer.from("still here"), () => {})
      await output.saw("still here")
      await clean(plan)
      await output.ended
    })

    test("a client that pauses gets the rest once it goes on", async () => {
      const plan = planOf({ does: "print", stdout: "first", stderr: "second" })
      const { attachment } = await startAttached(plan)
      const streams = new Set<number>()
      let [paused, early] = [false, 0]
      await new Promise<void>((resolve) => {
        const take = (stream: number) => {
          streams.add(stream)
          early += Number(paused)
          paused = true
          setTimeout(() => {
            paused = false
            attachment.resume()
          }, 5)
          return false
        }
        attachment.read(take, resolve)
      })
      expect(streams).toEqual(new Set([1, 2]))
      expect(early).toBe(0)
    })

    test("two clients both see all, and one that leaves disturbs nobody", async () => {
      const plan = planOf({ does: "serve" })
      const { output, started } = await startAttached(plan)
      await output.saw("ready")
      const second = await ask((r) => r.attach(plan.id))
      second.close()
      await ask((r) => r.signal(plan.id, started, "TERM"))
      await output.ended
      expect((await wait(plan, started)).exitCode).toBe(7)
    })

    test("a program that is not there is 127, in words a client knows", async () => {
      const fault = await tried((r) => r.start(planOf({ does: "missing" })))
      expect(Result.isFailure(fault) && fault.failure).toMatchObject({
        exitCode: 127,
        cause: expect.stringContaining("executable file not found in $PATH"),
      })
    })

    test("a file that is no program is 126, in words a client knows", async () => {
      const fault = await tried((r) => r.start(planOf({ does: "unrunnable" })))
      expect(Result.isFailure(fault) && fault.failure).toMatchObject({
        exitCode: 126,
        cause: expect.stringContaining("permission denied"),
      })
    })

    test("what the spec refuses is a fault of the engine's, with its cause", async () => {
      const refuse = () => {
        throw new Error("no spec", { cause: "unable to find user nobody" })
      }
      const plan = { ...planOf({ does: "exit", code: 0 }), spec: refuse }
      const fault = await tried((r) => r.start(plan))
      expect(Result.isFailure(fault) && fault.failure).toMatchObject({
        exitCode: 125,
        cause: "unable to find user nobody",
      })
    })

    test("a start that fails sends its waiting clients away with the cause", async () => {
      const plan = planOf({ does: "missing" })
      const [attached] = await ask((r) =>
        Effect.all([Effect.result(r.attach(plan.id)), Effect.result(r.start(plan))], {
          concurrency: "unbounded",
        })
      )
      expect(Result.isFailure(attached) && attached.failure.cause).toContain("not found")
    })

    test("a container starts again after a failed start, without a clean between", async () => {
      const missing = planOf({ does: "missing" })
      await tried((r) => r.start(missing))
      const plan = world.plan(missing.id, { does: "exit", code: 3 })
      const started = await ask((r) => r.start(plan))
      expect((await wait(plan, started)).exitCode).toBe(3)
    })

    test("a second run has an exit code of its own", async () => {
      const first = planOf({ does: "exit", code: 1 })
      await wait(first, await ask((r) => r.start(first)))
      await clean(first)
      const second = world.plan(first.id, { does: "serve" })
      const { output, started } = await startAttached(second)
      await output.saw("ready")
      await ask((r) => r.signal(second.id, started, "SIGTERM"))
      expect((await wait(second, started)).exitCode).toBe(7)
    })

    test("a start asked twice is one process", async () => {
      const plan = planOf({ does: "serve" })
      const started = await ask((r) => r.start(plan))
      expect(await ask((r) => r.start(plan))).toEqual(started)
      await restart()
      expect(await ask((r) => r.start(plan))).toEqual(started)
    })

    test("a signal ends it; a second one, too late, is no error; an unknown one is", async () => {
      const plan = planOf({ does: "serve" })
      const { output, started } = await startAttached(plan)
      await output.saw("ready")
      const fault = await tried((r) => r.signal(plan.id, started, "SIGNONE"))
      expect(Result.isFailure(fault) && fault.failure.cause).toMatch(/signal/)
      await ask((r) => r.signal(plan.id, started, "9"))
      expect((await wait(plan, started)).exitCode).toBe(137)
      await ask((r) => r.signal(plan.id, started, "SIGKILL"))
    })

    test("a frozen container does nothing until it is thawed", async () => {
      const plan = planOf({ does: "serve" })
      const { output, started } = await startAttached(plan)
      await output.saw("ready")
      await ask((r) => r.freeze(plan.id))
      await ask((r) => r.freeze(plan.id))
      await ask((r) => r.signal(plan.id, started, "SIGTERM"))
      const early = await ask((r) =>
        r.wait(plan.id, plan.home, started).pipe(Effect.timeoutOption("100 millis"))
      )
      expect(early._tag).toBe("None")
      await ask((r) => r.thaw(plan.id))
      await ask((r) => r.thaw(plan.id)).catch(() => {}) // it may be gone by now
      expect((await wait(plan, started)).exitCode).toBe(7)
    })

    test("what does not run is not frozen, thawed, sized or limited, and has no pids", async () => {
      const { id } = planOf({ does: "exit", code: 0 })
      const refused = async <A>(
        act: (runtime: Runtime["Service"]) => Effect.Effect<A, RunFault>,
      ) => Result.isFailure(await tried(act))
      expect(await refused((r) => r.freeze(id))).toBe(true)
      expect(await refused((r) => r.thaw(id))).toBe(true)
      expect(await refused((r) => r.resize(id, 24, 80))).toBe(true)
      expect(await refused((r) => r.limit(id, {}))).toBe(true)
      expect(await refused((r) => r.pids(id))).toBe(true)
    })

    test("what has ended is not frozen, is thawed, and has no pids", async () => {
      const plan = planOf({ does: "exit", code: 0 })
      await wait(plan, await ask((r) => r.start(plan)))
      expect(Result.isFailure(await tried((r) => r.freeze(plan.id)))).toBe(true)
      await ask((r) => r.thaw(plan.id))
      expect(await ask((r) => r.pids(plan.id))).toEqual([])
    })

    test("clean ends what runs, frozen or not, and may be asked again", async () => {
      const plan = planOf({ does: "serve" })
      const started = await ask((r) => r.start(plan))
      await ask((r) => r.freeze(plan.id))
      await clean(plan)
      await clean(plan)
      expect(world.leftovers()).toEqual([])
      expect((await wait(plan, started)).exitCode).toBeGreaterThan(128)
    })

    test("a daemon that comes after finds what runs, and sees its end", async () => {
      const plan = planOf({ does: "serve" })
      const { output, started } = await startAttached(plan)
      await output.saw("ready")
      await restart()
      const waiting = wait(plan, started)
      const late = collect(await ask((r) => r.attach(plan.id)))
      await ask((r) => r.signal(plan.id, started, "TERM"))
      await late.ended
      expect((await waiting).exitCode).toBe(7)
    })

    test("an end that nobody watched is known to a daemon that comes after", async () => {
      const plan = planOf({ does: "print", stdout: "x", stderr: "" })
      const { output, started } = await startAttached(plan)
      await output.ended
      await restart()
      expect((await wait(plan, started)).exitCode).toBe(0)
      expect(await ask((r) => r.start(plan))).toEqual(started)
    })

    test("a run of which nothing is left ended with 255", async () => {
      const plan = planOf({ does: "exit", code: 0 })
      const exit = await wait(plan, { pid: 1, startTicks: 1 })
      expect(exit).toEqual({ exitCode: 255, oomKilled: false })
    })

    test("running out of memory is 137 and said", async () => {
      const plan = planOf({ does: "hog" })
      const started = await ask((r) => r.start(plan))
      expect(await wait(plan, started)).toEqual({ exitCode: 137, oomKilled: true })
      await restart()
      await clean(plan)
      expect(await wait(plan, started)).toEqual({ exitCode: 137, oomKilled: true })
    })

    test("its pids are told while it runs, and only then", async () => {
      const plan = planOf({ does: "serve" })
      const started = await ask((r) => r.start(plan))
      expect(await ask((r) => r.pids(plan.id))).toContain(started.pid)
      expect(world.leftovers()).not.toEqual([])
      await clean(plan)
      expect(Result.isFailure(await tried((r) => r.pids(plan.id)))).toBe(true)
    })

    test("who attaches to what does not run is connected by its next start", async () => {
      const plan = planOf({ does: "print", stdout: "again", stderr: "" })
      const { output, started } = await startAttached(plan)
      await output.ended
      await wait(plan, started)
      const waiting = daemon.runFork(Effect.flatMap(Runtime, (r) => r.attach(plan.id)))
      const gone = daemon.runFork(Effect.flatMap(Runtime, (r) => r.attach(plan.id)))
      await Effect.runPromise(Fiber.interrupt(gone))
      await clean(plan)
      await ask((r) => r.start(plan))
      const later = collect(await Effect.runPromise(Fiber.join(waiting)))
      await later.ended
      expect(later.stdout()).toBe("again")
    })

    test("a log that has grown to its limit begins anew, once", async () => {
      const plan = planOf({ does: "serve" })
      const { output } = await startAttached(plan)
      await output.saw("ready")
      const rotate = (bytes: number) =>
        ask((r) => r.rotateLog(plan.id, plan.home, { bytes, files: 2 }))
      expect(await rotate(1_000_000)).toBe(false)
      // Clients may be told a moment before the log is.
      while (!(await rotate(1))) await new Promise((resolve) => setImmediate(resolve))
      expect(await rotate(1)).toBe(false)
    })

    test("many start at once, each with its own output and code", async () => {
      const plans = [1, 2, 3, 4, 5, 6].map((code) => planOf({ does: "exit", code }))
      const exits = await Promise.all(plans.map(async (plan) => {
        const { output, started } = await startAttached(plan)
        await output.ended
        return (await wait(plan, started)).exitCode
      }))
      expect(exits).toEqual([1, 2, 3, 4, 5, 6])
    })
  })
}
