import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Result from "effect/Result"
import { apiRoutes } from "./api/routes.ts"
import { type Listener, ListenFault, serve } from "./api/server.ts"
import { bootEngine, shutdown } from "./engine/boot.ts"
import { defaultsOf } from "./engine/defaults.ts"
import { Events } from "./engine/events.ts"
import { Keyring } from "./engine/keyring.ts"
import { Loop, makeLoop } from "./engine/loop.ts"
import { networksLinux } from "./engine/bridge.ts"
import { Paths, pathsOf } from "./engine/paths.ts"
import { plannerLinux } from "./engine/plans.ts"
import { ProgressBoard, ProgressBody } from "./engine/progress.ts"
import { makeGiveBack, whenQuiet } from "./engine/quiet.ts"
import { Registries, registriesOf } from "./engine/registries.ts"
import { Watchers } from "./engine/requests/pull.ts"
import { bootId, claimDataRoot } from "./kernel/data-root.ts"
import { Directories } from "./kernel/directories.ts"
import { staySmall } from "./kernel/memory.ts"
import { notify } from "./kernel/notify.ts"
import { bodyLinux as runtimeLinux } from "./kernel/runtime-linux.ts"
import { clearSocket, shareSocket } from "./kernel/socket-files.ts"
import { Wal } from "./kernel/wal.ts"
import { ENGINE_VERSION } from "./api/version.ts"
import { textOf } from "./kernel/machine.ts"
import { bodyLinux as carrierLinux, CARRIER_DEFAULTS, waitForOrphans } from "./layers/carrier-linux.ts"
import { type Host, listenFds, readSettings, type Settings } from "./settings.ts"
import { Database } from "./store/database.ts"
import { Store, StoreBody } from "./store/store.ts"

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
  process.exit(70)
}

const storeLayer = (path: string) =>
  Layer.effect(
    Store,
    Effect.acquireRelease(
      Effect.sync(() => new StoreBody(new Database(path))),
      (store) => Effect.sync(() => store.db.close()),
    ),
  )

/** Every door of a real machine, and the loop between them. */
const world = (settings: Settings, program: Program, boot: { boot: number }, store: StoreBody) => {
  const { dataRoot, execRoot } = settings
  const doors = Layer.mergeAll(
    Layer.succeed(Store, store),
    Layer.succeed(Paths, pathsOf(dataRoot, execRoot)),
    Layer.sync(Keyring, () => new Map()),
    Layer.sync(Watchers, () => new Map()),
    Layer.sync(ProgressBoard, () => new ProgressBody()),
    Layer.succeed(Registries, registriesOf(settings.insecureRegistries)),
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
  const loop = Layer.provideMerge(Layer.effect(Loop, makeLoop(boot.boot, fatal)), plans)
  return Layer.provideMerge(Events.body, loop)
}

const socketGroups = (settings: Settings) => [settings.group, "balena-engine", "docker"]

/** A step on the file system whose refusal keeps a socket from being served. */
const filed = (name: string, step: () => void) =>
  Effect.try({ try: step, catch: (error) => new ListenFault({ name, cause: String(error) }) })

const listenersOf = (settings: Settings): Listener[] =>
  settings.hosts.flatMap((host: Host): Listener[] => {
    if (host.kind === "fd") {
      return listenFds(process.env, process.pid)
        .filter(({ name, fd }) => host.name === "" || host.name === name || host.name === String(fd))
        .map(({ fd }) => ({ name: `fd://${fd}`, listen: { fd } }))
    }
    if (host.kind === "tcp") {
      const name = `tcp://${host.host}:${host.port}`
      return [{ name, listen: { host: host.host, port: host.port } }]
    }
    const name = `unix://${host.path}`
    return [{
      name,
      listen: { path: host.path },
      before: filed(name, () => clearSocket(host.path)),
      bound: filed(name, () => shareSocket(host.path, socketGroups(settings))),
    }]
  })

/** Returns when somebody wants the daemon to end. */
const untilSignalled = Effect.gen(function*() {
  const asked = yield* Deferred.make<NodeJS.Signals>()
  const hear = (signal: NodeJS.Signals) => Deferred.doneUnsafe(asked, Effect.succeed(signal))
  process.on("SIGTERM", hear).on("SIGINT", hear)
  return yield* Deferred.await(asked)
})

/** The daemon from its start to its end; fails with what kept it from starting. */
export const daemon = (settings: Settings, program: Program) =>
  Effect.scoped(Effect.gen(function*() {
    const asked = yield* Effect.forkScoped(untilSignalled)
    for (const note of settings.notes) yield* Effect.logWarning(note)
    const { dataRoot } = settings
    yield* claimDataRoot(dataRoot)
    yield* waitForOrphans(`${dataRoot}/child.lock`)
    const store = yield* Layer.build(storeLayer(`${dataRoot}/engine.db`))
    const body = yield* Effect.provide(Store, store)
    const boot = body.journal.boot(process.env["BALENA_ENGINE_BOOT_ID"] ?? bootId())
    yield* Effect.provide(
      Effect.gen(function*() {
        yield* bootEngine(boot.reboot)
        const stir = yield* whenQuiet(QUIET_MS, makeGiveBack())
        const loop = yield* Loop
        loop.listen(stir)
        yield* serve(apiRoutes(settings, defaultsOf(settings)), listenersOf(settings), stir)
        notify("READY=1")
        staySmall()
        stir()
        yield* Effect.logInfo(`API listen on ${settings.hosts.length} address(es)`)
        const signal = yield* Fiber.join(asked)
        yield* Effect.logInfo(`${signal}: the engine ends; containers go on`)
        notify("STOPPING=1")
        yield* shutdown
      }),
      world(settings, program, boot, body),
    )
  }))

const LEVELS = { debug: "Debug", info: "Info", warn: "Warn", error: "Error", fatal: "Fatal" } as const

/** The daemon's log: one line each on stderr, logfmt or JSON. */
const logging = ({ debug, logLevel, logFormat }: Settings) => {
  const format = logFormat === "json" ? Logger.formatJson : Logger.formatLogFmt
  const level = debug ? "Debug" : LEVELS[logLevel as keyof typeof LEVELS] ?? "Info"
  const write = Logger.make((options) => {
    process.stderr.write(`${format.log(options)}\n`)
  })
  return Layer.merge(Logger.layer([write]), Layer.succeed(References.MinimumLogLevel, level))
}

/** Runs the daemon as its command line says. Answers the exit code: 0 after SIGTERM, 1 if it cannot. */
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
  const { settings } = request
  const running = daemon(settings, program).pipe(
    Effect.as(0),
    Effect.catch((fault) =>
      Effect.sync(() => {
        process.stderr.write(`failed to start daemon: ${fault.message || String(fault)}\n`)
        return 1
      })
    ),
    Effect.provide(logging(settings)),
  )
  const code = await Effect.runPromise(running)
  process.exit(code)
}
