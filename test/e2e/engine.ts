import { spawn } from "node:child_process"
import { once } from "node:events"
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { ask, textOf } from "../../simulations/bench/engines/docker.ts"
import { outcome, type Outcome } from "../../simulations/images/command.ts"
import { endProcesses, openRig, processesIn, type Rig } from "../../simulations/powercut/rig.ts"
import { readCgroups, removeGroup, thaw } from "../../src/kernel/cgroups.ts"

/** What is shipped: the built bundle on the Node that was installed with it. */
export const BALENAD = [join(import.meta.dirname, "../../dist/balenad")] as const
export const BALENA = join(import.meta.dirname, "../../dist/balena")
export const BUSYBOX_ARCHIVE = join(import.meta.dirname, "../fixtures/busybox-1.29.tar.gz")

/** Why no whole engine can be run here; null: it can. In CI that is no excuse. */
export const whyNoEngine = (): string | null => {
  const why = process.getuid?.() !== 0 ? "needs root" : null
  if (why !== null && process.env["CI"] === "true") throw new Error(why)
  return why
}

/** A corner of this machine where engines run as on a device, and which nothing outlives. */
export interface Corner extends AsyncDisposable {
  readonly rig: Rig
  readonly root: string
  readonly start: (options: EngineOptions) => Promise<Engine>
}

export interface EngineOptions {
  /** Names its directory; the same name is the same engine, started again. */
  readonly name: string
  /** Default: a directory of its own. */
  readonly dataRoot?: string
  /** The program and its first words. Default: what is shipped. */
  readonly program?: readonly string[]
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Default: `--bridge none`. */
  readonly bridge?: readonly string[]
}

/** Where one engine keeps what it has, apart from every other. */
export interface Place {
  readonly dataRoot: string
  readonly execRoot: string
  readonly socket: string
  readonly pidfile: string
  /** The parent of its containers' control groups. */
  readonly cgroupParent: string
  /** The control group that the daemon itself and what it starts are in. */
  readonly cgroup: string
}

/** A daemon; `started` says whether it ever answered. */
export interface Engine {
  readonly place: Place
  readonly pid: number
  /** All it has said, over all its lives. */
  readonly log: () => string
  /** Its exit code; null: a signal ended it. */
  readonly ended: Promise<number | null>
  /** SIGTERM; answers the exit code. */
  readonly stop: () => Promise<number | null>
  /** SIGKILL of the daemon alone: its containers go on. */
  readonly kill: () => Promise<void>
  readonly docker: (args: readonly string[], input?: string) => Promise<Outcome>
  /** The same, where a failure is an error; answers stdout. */
  readonly done: (args: readonly string[], input?: string) => Promise<string>
}

export const placeOf = ({ root, cgroup }: Rig, name: string, dataRoot?: string): Place => {
  const home = join(root, name)
  return {
    dataRoot: dataRoot ?? join(home, "data"),
    execRoot: join(home, "exec"),
    socket: join(home, "s.sock"),
    pidfile: join(home, "pid"),
    cgroupParent: `/${basename(cgroup)}/${name}-containers`,
    cgroup: join(cgroup, name),
  }
}

/** Opens a corner. Its name begins `be-rig-`; what a killed run left, the next clears away. */
export const openCorner = async (): Promise<Corner> => {
  const rig = await openRig()
  return {
    rig,
    root: rig.root,
    start: (options) => start(rig, options),
    [Symbol.asyncDispose]: async () => {
      const name = `/${basename(rig.cgroup)}`
      thaw(readCgroups(), name)
      await endProcesses(rig.cgroup)
      while (!removeGroup(readCgroups(), name)) await sleep(10)
      await rig[Symbol.asyncDispose]()
    },
  }
}

/** Joins the control group, then becomes the daemon. Arguments come in as "$@". */
const JOIN = `echo $$ > "$1"/cgroup.procs; shift; exec "$@"`

/** Starts a daemon; returns once it answers, or has ended without ever doing so. */
const start = async (rig: Rig, options: EngineOptions): Promise<Engine> => {
  const place = placeOf(rig, options.name, options.dataRoot)
  for (const path of [join(rig.root, options.name), place.cgroup]) {
    mkdirSync(path, { recursive: true })
  }
  const logPath = join(rig.root, options.name, "log")
  const log = openSync(logPath, "a")
  const child = spawn("sh", [
    "-c", JOIN, "join", place.cgroup, ...(options.program ?? BALENAD),
    "--data-root", place.dataRoot, "--exec-root", place.execRoot,
    "--host", `unix://${place.socket}`, "--pidfile", place.pidfile,
    "--cgroup-parent", place.cgroupParent,
    ...(options.bridge ?? ["--bridge", "none"]), ...(options.args ?? []),
  ], { stdio: ["ignore", log, log], env: { ...process.env, ...options.env }, cwd: "/" })
  closeSync(log)
  const ended = once(child, "exit").then(([code]: (number | null)[]) => code ?? null)
  await Promise.race([ended, answers(place.socket, ended)])
  const docker: Engine["docker"] = (args, input) =>
    outcome("docker", ["--host", `unix://${place.socket}`, ...args], {
      env: { DOCKER_CONFIG: join(rig.root, "docker") },
      ...(input !== undefined && { input }),
    })
  return {
    place,
    pid: child.pid!,
    log: () => readFileSync(logPath, "utf8"),
    ended,
    stop: () => {
      child.kill("SIGTERM")
      return ended
    },
    kill: async () => {
      child.kill("SIGKILL")
      await ended
    },
    docker,
    done: async (args, input) => {
      const { code, stdout, stderr } = await docker(args, input)
      if (code !== 0) throw new Error(`docker ${args.join(" ")}: ${code} ${stderr.trim()}`)
      return stdout
    },
  }
}

const answers = async (socket: string, ended: Promise<unknown>): Promise<void> => {
  let over = false
  const end = () => (over = true)
  ended.then(end, end)
  while (!over) {
    if (existsSync(socket) && (await ping(socket))) return
    await sleep(5)
  }
}

const ping = async (socket: string): Promise<boolean> => {
  const answer = await ask(socket, "GET", "/_ping").catch(() => null)
  if (answer === null) return false
  return (await textOf(answer)) === "OK"
}

/** Pids of a control group that are not the daemon's own: conmon, and what it may have left. */
export const othersIn = (engine: Engine): readonly number[] =>
  processesIn(engine.place.cgroup).filter((pid) => pid !== engine.pid)
