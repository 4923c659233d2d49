import { mkdirSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import * as Effect from "effect/Effect"
import {
  bundleExists, makeBundle, readRecord, stateDirectory, wasStarted, writeRecord, type Bundle,
  type Record,
} from "./bundle.ts"
import { clean } from "./clean.ts"
import { keep, type Creation, type Keeper } from "./conmon.ts"
import { clearStatus, statusDirectoryOf } from "./exits.ts"
import { furnish } from "./furnish.ts"
import { attempt, awaited, callRuntime, type Host } from "./host.ts"
import { connect } from "./links.ts"
import { mountOverlay, mountShm, readInRoot } from "./mounts.ts"
import { bootId, processOf, type Process } from "./processes.ts"
import { isUnfit, refusalOf } from "./refusals.ts"
import { RunFault, StartFault, type Connected, type RunPlan } from "./runtime.ts"

const EXIT_ENGINE = 125

/** Starts a container, or answers the one that an earlier daemon started. See `Runtime.start`. */
export const start = (host: Host, plan: RunPlan): Effect.Effect<Connected, StartFault> =>
  Effect.gen(function*() {
    const bundle = host.bundle(plan.id)
    const before = yield* attempt(() => adopted(bundle, plan.id)).pipe(Effect.mapError(engineFault))
    if (before === null) {
      return { ...(yield* startAnew(host, bundle, plan)), endpoint: plan.endpoint }
    }
    host.lobby.admit(plan.id, bundle.path)
    return before
  }).pipe(
    Effect.tapError(({ cause }) => Effect.sync(() => host.lobby.refuse(plan.id, cause))),
    Effect.uninterruptible,
  )

const engineFault = ({ cause }: RunFault) => new StartFault({ exitCode: EXIT_ENGINE, cause })

/** The process of this container that was started before, even if it has ended since. */
const adopted = (bundle: Bundle, id: string): Connected | null => {
  const record = readRecord(bundle)
  if (record === null || record.init === null || !wasStarted(record, id)) return null
  return { ...record.init, endpoint: record.endpoint }
}

const startAnew = (
  host: Host, bundle: Bundle, plan: RunPlan,
): Effect.Effect<Process, StartFault> =>
  Effect.gen(function*() {
    if (bundleExists(bundle)) yield* clean(host, plan.id)
    const machine = yield* attempt(host.machine)
    const runtime = machine.runtimes[0]!
    const { program, cgroup } = yield* attempt(() => prepare(bundle, plan))
    const record: Record = {
      boot: bootId(),
      runtime,
      state: stateDirectory(host.settings.execRoot, runtime.name),
      cgroup: cgroup ?? join(host.settings.cgroupParent, plan.id),
      conmon: null,
      init: null,
      endpoint: plan.endpoint,
    }
    const created = yield* create(bundle, record, keeperOf(machine.conmon, record, bundle, plan))
    if ("refusal" in created) {
      // Seen only now, at the first container: the next best runtime, for good.
      if (isUnfit(created.refusal) && machine.runtimes.length > 1) {
        host.discard(runtime)
        return yield* startAnew(host, bundle, plan)
      }
      return yield* new StartFault(refusalOf(created.refusal, program))
    }
    const { endpoint } = plan
    if (endpoint !== null) yield* attempt(() => connect(endpoint, created.pid))
    host.lobby.admit(plan.id, bundle.path)
    const { exitCode, stderr } = yield* callRuntime(record, ["start", plan.id])
    if (exitCode !== 0) return yield* new StartFault(refusalOf(stderr, program))
    return created
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
  furnish(bundle.rootfs, plan.folders)
  if (plan.shmBytes !== null) {
    mkdirSync(bundle.shm, { mode: 0o700 })
    mountShm(bundle.shm, plan.shmBytes)
  }
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

/** Has conmon and the runtime make the container, and notes what came of it. */
const create = (
  bundle: Bundle, record: Record, keeper: Keeper,
): Effect.Effect<Process | { readonly refusal: string }, RunFault> =>
  Effect.gen(function*() {
    let conmon: Process | null = null
    const answer = yield* awaited<Creation>((done) => {
      writeRecord(bundle, record)
      conmon = keep(keeper, done)
      writeRecord(bundle, { ...record, conmon })
    })
    if ("refusal" in answer) return answer
    const init = processOf(answer.pid)
    if (init === null) return yield* new RunFault({ cause: "the container ended before its start" })
    yield* attempt(() => writeRecord(bundle, { ...record, conmon, init }))
    return init
  })

const keeperOf = (conmon: string, record: Record, bundle: Bundle, plan: RunPlan): Keeper => ({
  conmon,
  runtime: record.runtime,
  state: record.state,
  id: plan.id,
  bundle: bundle.path,
  statusDirectory: statusDirectoryOf(plan.home),
  log: plan.log ? join(plan.home, "log") : null,
  journal: plan.journal,
  terminal: plan.terminal,
  stdin: plan.stdin,
  stdinOnce: plan.stdinOnce,
})
