import { mkdirSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import * as Effect from "effect/Effect"
import {
  bundleExists, makeBundle, readRecord, wasStarted, writeRecord, type Bundle, type Record,
} from "./bundle.ts"
import { clean } from "./clean.ts"
import { keep, type Creation, type Keeper } from "./conmon.ts"
import { clearStatus, statusDirectoryOf } from "./exits.ts"
import { attempt, awaited, callRuntime, type Host } from "./host.ts"
import * as links from "./links.ts"
import { mountOverlay, readInRoot } from "./mounts.ts"
import type { Machine } from "./probe.ts"
import { bootId, processOf, type Process } from "./processes.ts"
import { isUnfit, refusalOf } from "./refusals.ts"
import { RunFault, StartFault, type RunPlan, type Started } from "./runtime.ts"

const EXIT_ENGINE = 125

const connect = (links as unknown as {
  readonly connect: (endpoint: links.Endpoint, pid: number) => void
}).connect

/** Starts a container, or answers the one that an earlier daemon started. See `Runtime.start`. */
export const start = (host: Host, plan: RunPlan): Effect.Effect<Started, StartFault> =>
  Effect.gen(function*() {
    const bundle = host.bundle(plan.id)
    const before = yield* attempt(() => adopted(bundle, plan.id)).pipe(Effect.mapError(engineFault))
    const started = before ?? (yield* startAnew(host, bundle, plan))
    if (before !== null) host.lobby.admit(plan.id, bundle.path)
    return started
  }).pipe(
    Effect.tapError(({ cause }) => Effect.sync(() => host.lobby.refuse(plan.id, cause))),
    Effect.uninterruptible,
  )

const engineFault = ({ cause }: RunFault) => new StartFault({ exitCode: EXIT_ENGINE, cause })

/** The process of this container that was started before, even if it has ended since. */
const adopted = (bundle: Bundle, id: string): Process | null => {
  const record = readRecord(bundle)
  return record !== null && wasStarted(record, id) ? record.init : null
}

const startAnew = (host: Host, bundle: Bundle, plan: RunPlan) =>
  Effect.gen(function*() {
    if (bundleExists(bundle)) yield* clean(host, plan.id)
    const machine = yield* attempt(host.machine)
    const spec = yield* attempt(() => prepare(bundle, plan))
    const record = yield* create(host, machine, bundle, plan, spec)
    const { endpoint } = plan
    if (endpoint !== null) yield* attempt(() => connect(endpoint, record.init.pid))
    host.lobby.admit(plan.id, bundle.path)
    const { exitCode, stderr } = yield* callRuntime(record, ["start", plan.id])
    if (exitCode !== 0) return yield* new StartFault(refusalOf(stderr, spec.program))
    return record.init
  }).pipe(Effect.catchTag("RunFault", (fault) => Effect.fail(engineFault(fault))))

interface Prepared {
  /** The first word of the container's command line, for messages. */
  readonly program: string
  readonly cgroup: string | null
}

/** Everything before the first process: directories, files, the root file system, the spec. */
const prepare = (bundle: Bundle, plan: RunPlan): Prepared => {
  const upper = join(plan.home, "upper")
  const work = join(plan.home, "work")
  mkdirSync(upper, { recursive: true, mode: 0o755 })
  mkdirSync(work, { recursive: true, mode: 0o700 })
  for (const [name, text] of Object.entries(plan.files)) {
    if (name !== basename(name)) throw new Error(`not a file name: ${name}`)
    writeFileSync(join(plan.home, name), text, { mode: 0o644 })
  }
  clearStatus(plan.home)
  makeBundle(bundle)
  const lower = plan.lower.length > 0 ? plan.lower : [join(bundle.path, "empty")]
  if (plan.lower.length === 0) mkdirSync(lower[0]!, { recursive: true })
  mountOverlay({ lower, upper, work, target: bundle.rootfs })
  const spec = plan.spec({
    path: bundle.rootfs,
    read: (path) => readInRoot(bundle.rootfs, path),
  }) as {
    readonly process?: { readonly args?: readonly string[] }
    readonly linux?: { readonly cgroupsPath?: string }
  }
  writeFileSync(join(bundle.path, "config.json"), JSON.stringify(spec), { mode: 0o600 })
  return { program: spec.process?.args?.[0] ?? "", cgroup: spec.linux?.cgroupsPath ?? null }
}

/** Has conmon and the runtime make the container; a runtime unfit for this machine is not asked again. */
const create = (
  host: Host, machine: Machine, bundle: Bundle, plan: RunPlan, spec: Prepared,
): Effect.Effect<Created, RunFault | StartFault> =>
  Effect.gen(function*() {
    const runtime = machine.runtimes[0]!
    const record: Record = {
      boot: bootId(),
      runtime,
      state: join(host.settings.execRoot, runtime.name),
      cgroup: spec.cgroup ?? join(host.settings.cgroupParent, plan.id),
      conmon: null,
      init: null,
    }
    const answer = yield* awaited<Answer>((done) => {
      writeRecord(bundle, record)
      const conmon = keep(keeperOf(machine.conmon, record, bundle, plan), (answer) => {
        done({ ...answer, conmon })
      })
      writeRecord(bundle, { ...record, conmon })
    })
    if ("refusal" in answer) {
      if (!isUnfit(answer.refusal) || machine.runtimes.length < 2) {
        return yield* new StartFault(refusalOf(answer.refusal, spec.program))
      }
      const fitter = host.discard(runtime)
      return yield* create(host, fitter, bundle, plan, spec)
    }
    const init = processOf(answer.pid)
    if (init === null) return yield* new RunFault({ cause: "the container ended before its start" })
    const whole = { ...record, conmon: answer.conmon, init }
    yield* attempt(() => writeRecord(bundle, whole))
    return whole
  })

type Answer = Creation & { readonly conmon: Process }
type Created = Record & { readonly init: Process }

const keeperOf = (conmon: string, { runtime, state }: Record, bundle: Bundle, plan: RunPlan): Keeper => ({
  conmon,
  runtime,
  state,
  id: plan.id,
  bundle: bundle.path,
  statusDirectory: statusDirectoryOf(plan.home),
  log: plan.log ? join(plan.home, "log") : null,
  terminal: plan.terminal,
  stdin: plan.stdin,
  stdinOnce: plan.stdinOnce,
})
