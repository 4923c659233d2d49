import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { apiRoutes } from "./api/routes.ts"
import { serve } from "./api/server.ts"
import { listenersOf } from "./daemon/listeners.ts"
import { logging } from "./daemon/logging.ts"
import { type Live, reloading, untilSignalled, watchdog } from "./daemon/service.ts"
import { openStore } from "./daemon/store.ts"
import { Bases, basesOf } from "./engine/bases.ts"
import { bootEngine, shutdown } from "./engine/boot.ts"
import { defaultsOf } from "./engine/defaults.ts"
import { Events } from "./engine/events.ts"
import { Keyring } from "./engine/keyring.ts"
import { keepLogs } from "./engine/log-keeper.ts"
import { Loop, makeLoop } from "./engine/loop.ts"
import { networksLinux } from "./engine/bridge.ts"
import { Paths, pathsOf } from "./engine/paths.ts"
import { plannerLinux } from "./engine/plans.ts"
import { ProgressBoard, ProgressBody } from "./engine/progress.ts"
import { makeGiveBack, whenQuiet } from "./engine/quiet.ts"
import { Registries, registriesOf } from "./engine/registries.ts"
import { Watchers } from "./engine/requests/pull.ts"
import { tellUnheard } from "./engine/unheard.ts"
import { Ballast } from "./kernel/ballast.ts"
import { claimDataRoot } from "./kernel/data-root.ts"
import { Directories } from "./kernel/directories.ts"
import { staySmall } from "./kernel/memory.ts"
import { notify } from "./kernel/notify.ts"
import { claimPidfile } from "./kernel/pidfile.ts"
import { setOomScore } from "./kernel/priority.ts"
import { exitAtOnce } from "./kernel/processes.ts"
import { bodyLinux as runtimeLinux } from "./kernel/runtime-linux.ts"
import { Wal } from "./kernel/wal.ts"
import { ENGINE_VERSION } from "./api/version.ts"
import { textOf } from "./kernel/machine.ts"
import {
  bodyLinux as carrierLinux,
  CARRIER_DEFAULTS,
  waitForOrphans,
} from "./layers/carrier-linux.ts"
import { readSettings } from "./settings.ts"
import { Store, type StoreBody } from "./store/store.ts"

/** What this process was started as, so that it can start its own child. */
export interface Program {
  /** Arguments that make Node run the extraction child. */
  readonly childEntry: readonly string[]
  /** A test's own way to the disk, to end the process at a chosen commit. */
  readonly wal?: (database: string) => Layer.Layer<Wal>
}

/** Nothing asked and nothing done for this long: the engine rests. */
const QUIET_MS = 5_000

const CGROUP_PARENT = "/balena-engine"

/** A failed fdatasync, or a bug in the loop: nobody knows what is true but the disk. */
const fatal = (cause: unknown): never => {
  process.stderr.write(`the engine ends, to recover from its journal: ${String(cause)}\n`)
  return exitAtOnce(70)
}

/** Every door of a real machine, and the loop between them. */
const world = (
  live: Live,
  program: Program,
  { store, boot }: { readonly store: StoreBody; readonly boot: number },
) => {
  const { settings } = live
  const { dataRoot, execRoot } = settings
  const doors = Layer.mergeAll(
    Layer.succeed(Store, store),
    Layer.succeed(Paths, pathsOf(dataRoot, execRoot)),
    Layer.sync(Keyring, () => new Map()),
    Layer.sync(Watchers, () => new Map()),
    Layer.sync(ProgressBoard, () => new ProgressBody()),
    Layer.succeed(Bases, basesOf(store, settings.deltaDataRoot)),
    Layer.succeed(Registries, registriesOf(() => live.settings)),
    (program.wal ?? Wal.bodyLinux)(`${dataRoot}/engine.db`),
    Directories.bodyLinux,
    carrierLinux({
      ...CARRIER_DEFAULTS,
      childEntry: program.childEntry,
      lockPath: `${dataRoot}/child.lock`,
    }),
    runtimeLinux({
      execRoot,
      runtime: settings.defaultRuntime === "crun" ? "crun" : null,
      cgroupParent: settings.cgroupParent || CGROUP_PARENT,
    }),
  )
  const plans = Layer.provideMerge(
    Layer.mergeAll(plannerLinux(settings), networksLinux(settings)),
    doors,
  )
  const loop = Layer.provideMerge(Layer.effect(Loop, makeLoop(boot, fatal)), plans)
  return Layer.provideMerge(Events.body, loop)
}

/** Takes requests until a signal ends it; when its scope closes, nobody is listened to any more. */
const serving = (live: Live, asked: Fiber.Fiber<NodeJS.Signals>, stir: () => void) =>
  Effect.gen(function*() {
    const { settings } = live
    const routes = apiRoutes(() => live.settings, defaultsOf(settings))
    yield* serve(routes, listenersOf(settings), stir)
    notify("READY=1")
    staySmall()
    stir()
    yield* Effect.forkScoped(watchdog)
    yield* Effect.logInfo(`API listen on ${settings.hosts.length} address(es)`)
    const signal = yield* Fiber.join(asked)
    yield* Effect.logInfo(`${signal}: the engine ends; containers go on`)
    notify("STOPPING=1")
  })

/** The daemon from its start to its end; fails with what kept it from starting. */
export const daemon = (live: Live, program: Program) =>
  Effect.scoped(Effect.gen(function*() {
    const asked = yield* Effect.forkScoped(untilSignalled, { startImmediately: true })
    yield* Effect.forkScoped(reloading(live))
    const { settings } = live
    for (const note of settings.notes) yield* Effect.logWarning(note)
    const { dataRoot, oomScoreAdjust } = settings
    if (oomScoreAdjust !== 0) setOomScore(oomScoreAdjust)
    yield* claimPidfile(settings.pidfile)
    yield* claimDataRoot(dataRoot)
    yield* waitForOrphans(`${dataRoot}/child.lock`)
    const opened = yield* openStore(`${dataRoot}/engine.db`)
    yield* Effect.provide(
      Effect.gen(function*() {
        yield* tellUnheard
        yield* bootEngine(opened.reboot)
        yield* Effect.forkScoped(keepLogs)
        const stir = yield* whenQuiet(QUIET_MS, makeGiveBack())
        const loop = yield* Loop
        loop.listen(stir)
        yield* Effect.scoped(serving(live, asked, stir))
        yield* shutdown
      }),
      world(live, program, opened),
    )
  }).pipe(Effect.provide(Ballast.bodyLinux(`${live.settings.dataRoot}/ballast`))))

/**
 * Runs the daemon as its command line says. Answers the exit code: 0 after SIGTERM, 1 if it cannot.
 */
export const main = async (words: readonly string[], program: Program): Promise<number> => {
  const read = readSettings(words, textOf)
  if (Result.isFailure(read)) {
    process.stderr.write(`${read.failure.message}\n`)
    return 1
  }
  const request = read.success
  if (request.action !== "run") {
    const version = `balenaEngine version ${ENGINE_VERSION}\n`
    process.stdout.write(request.action === "help" ? request.text : version)
    return 0
  }
  const live: Live = { words, settings: request.settings }
  const running = daemon(live, program).pipe(
    Effect.as(0),
    Effect.catch((fault) =>
      Effect.sync(() => {
        process.stderr.write(`failed to start daemon: ${fault.message || String(fault)}\n`)
        return 1
      })
    ),
    Effect.provide(logging(() => live.settings)),
  )
  const code = await Effect.runPromise(running)
  return exitAtOnce(code)
}
