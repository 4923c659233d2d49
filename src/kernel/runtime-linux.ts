import { writeFileSync } from "node:fs"
import { rm } from "node:fs/promises"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { makeLobby } from "./attach.ts"
import { bundleOf, bundlesIn, readRecord, type Record } from "./bundle.ts"
import { isFrozen, pidsOf, readCgroups, type Cgroups } from "./cgroups.ts"
import { clean } from "./clean.ts"
import { resizeTerminal } from "./conmon.ts"
import { attempt, callRuntime, type Host, type RuntimeSettings } from "./host.ts"
import type { Endpoint } from "./links.ts"
import { rotateLog } from "./log-rotation.ts"
import { probe, type Machine } from "./probe.ts"
import { signalNumber, signalProcess } from "./processes.ts"
import { RunFault, Runtime, type Attachment } from "./runtime.ts"
import { start } from "./start.ts"
import { wait } from "./wait.ts"

export type { RuntimeSettings } from "./host.ts"

/** Each a millisecond after a longer pause: two seconds in all. */
const FREEZE_LOOKS = 64

/**
 * The Linux body of `Runtime`. It costs nothing until the first container: what is installed and
 * how cgroups are mounted is looked for then. Main thread only (spawn.ts says why).
 */
export const bodyLinux = (settings: RuntimeSettings): Layer.Layer<Runtime> =>
  Layer.sync(Runtime, () => {
    const host = makeHost(settings)
    return Runtime.of({
      start: (plan) => start(host, plan),
      wait: (id, home, started) => wait(host, id, home, started),
      signal: (id, started, signal) => send(id, started, signal),
      freeze: (id) => setFrozen(host, id, true),
      thaw: (id) => setFrozen(host, id, false),
      clean: (id) => clean(host, id),
      remove,
      attach: (id) => attach(host, id),
      resize: (id, height, width) =>
        attempt(() => resizeTerminal(host.bundle(id).path, height, width)),
      rotateLog: (id, home, limits) => rotateLog(host, id, home, limits),
      pids: (id) => attempt(() => pidsOf(host.cgroups(), recordOf(host, id).cgroup)),
      connected: attempt(() => connected(settings.execRoot)),
      limit: (id, resources) => limit(host, id, resources),
    })
  })

/** Everything but the calls themselves; nothing is looked at before it is needed. */
export const makeHost = (settings: RuntimeSettings): Host => {
  let cgroups: Cgroups | null = null
  let machine: Machine | null = null
  const host: Host = {
    settings,
    lobby: makeLobby(),
    bundle: (id) => bundleOf(settings.execRoot, id),
    cgroups: () => cgroups ??= readCgroups(),
    machine: () => machine ??= probe(settings.runtime, host.cgroups()),
    discard: (unfit) => {
      const { runtimes } = host.machine()
      machine = { ...host.machine(), runtimes: runtimes.filter((runtime) => runtime !== unfit) }
    },
  }
  return host
}

const refused = (code: string, message: string): Error =>
  Object.assign(new Error(message), { code })

/** The record of a container that must have one. */
const recordOf = (host: Host, id: string): Record => {
  const record = readRecord(host.bundle(id))
  if (record === null) throw refused("ESRCH", `container ${id} is not running`)
  return record
}

const connected = (execRoot: string): readonly (readonly [string, Endpoint])[] =>
  bundlesIn(execRoot).flatMap((id) => {
    const endpoint = readRecord(bundleOf(execRoot, id))?.endpoint ?? null
    return endpoint === null ? [] : [[id, endpoint] as const]
  })

const send = (id: string, started: { pid: number; startTicks: number }, signal: string) =>
  attempt(() => {
    const number = signalNumber(signal)
    if (number === null) {
      throw refused("EINVAL", `invalid signal for container ${id}: ${signal}`)
    }
    signalProcess(started, number)
  })

/**
 * Pauses or resumes by the runtime, then waits until it is true: a version 1 freezer only begins,
 * and a process that just forks can escape it for a while. What cannot be frozen is left running.
 */
const setFrozen = (host: Host, id: string, frozen: boolean): Effect.Effect<void, RunFault> =>
  Effect.gen(function*() {
    const record = yield* attempt(() => recordOf(host, id))
    const isSo = attempt(() => isFrozen(host.cgroups(), record.cgroup) === frozen)
    if (yield* isSo) return
    const { stderr } = yield* callRuntime(record, [frozen ? "pause" : "resume", id])
    for (let look = 0; look < FREEZE_LOOKS; look++) {
      if (yield* isSo) return
      yield* Effect.sleep(1 + look)
    }
    if (frozen) yield* callRuntime(record, ["resume", id])
    return yield* new RunFault({
      cause: stderr.trim() || `the kernel did not ${frozen ? "freeze" : "thaw"} container ${id}`,
    })
  }).pipe(Effect.uninterruptible)

const limit = (host: Host, id: string, resources: object): Effect.Effect<void, RunFault> =>
  Effect.gen(function*() {
    const record = yield* attempt(() => recordOf(host, id))
    const path = join(host.bundle(id).path, "resources.json")
    yield* attempt(() => writeFileSync(path, JSON.stringify(resources), { mode: 0o600 }))
    const { exitCode, stderr } = yield* callRuntime(record, ["update", "--resources", path, id])
    if (exitCode !== 0) return yield* new RunFault({ cause: stderr.trim() })
  }).pipe(Effect.uninterruptible)

const attach = (host: Host, id: string): Effect.Effect<Attachment, RunFault> =>
  Effect.callback((resume) => {
    const leave = host.lobby.enter(id, host.bundle(id).path, (result) => {
      resume("refused" in result
        ? Effect.fail(new RunFault({ cause: result.refused }))
        : Effect.succeed(result))
    })
    return Effect.sync(leave)
  })

/** In libuv's pool: a container's upper directory may hold any number of files. */
const remove = (home: string): Effect.Effect<void, RunFault> =>
  Effect.tryPromise({
    try: () => rm(home, { recursive: true, force: true }),
    catch: (error) => new RunFault({ cause: String((error as Error).message) }),
  }).pipe(Effect.uninterruptible)
