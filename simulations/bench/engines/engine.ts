import { existsSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { powerOn, type Machine, type PowerOptions } from "../../powercut/power.ts"
import type { Rig } from "../../powercut/rig.ts"
import { ask } from "./docker.ts"

/** An engine that can be measured: how its daemon is called. */
export interface Engine {
  readonly name: string
  /** The program and its arguments. */
  readonly argv: (place: Place) => readonly string[]
  /** Added to the environment it is started with. */
  readonly env?: Readonly<Record<string, string>>
  /** Is it there to be run? Says what is missing, or null. */
  readonly missing: () => Promise<string | null>
}

/** Where a daemon keeps its things. */
export interface Place {
  readonly dataRoot: string
  readonly execRoot: string
  readonly socket: string
  readonly pidfile: string
  /** false: started with `--bridge=none`. */
  readonly bridge: boolean
  /** The parent of its containers' control groups; null: the engine's own default. */
  readonly cgroupParent: string | null
}

/** The arguments that every engine understands alike. */
export const commonArguments = (place: Place): readonly string[] => [
  "--data-root", place.dataRoot,
  "--exec-root", place.execRoot,
  "--host", `unix://${place.socket}`,
  "--pidfile", place.pidfile,
  ...(place.cgroupParent === null ? [] : ["--cgroup-parent", place.cgroupParent]),
]

/** A daemon that answers. */
export interface Daemon extends AsyncDisposable {
  readonly engine: Engine
  readonly machine: Machine
  readonly place: Place
  readonly socket: string
  /** From the start of the process to the first answered `_ping`. */
  readonly startMs: number
  /** Ends it in order, by SIGTERM; answers its exit code. */
  readonly stop: () => Promise<number | null>
}

export interface StartOptions extends Pick<PowerOptions, "network" | "env"> {
  /** Unique within the rig. */
  readonly name: string
  readonly dataRoot: string
  readonly bridge?: boolean
  readonly cgroupParent?: string
}

/** Starts an engine's daemon in a machine of its own and waits for its first `_ping`. */
export const startDaemon = async (
  rig: Rig,
  engine: Engine,
  { name, dataRoot, bridge = false, cgroupParent, ...power }: StartOptions,
): Promise<Daemon> => {
  const home = join(rig.root, `${name}.exec`)
  mkdirSync(home, { recursive: true })
  const socket = join(home, "engine.sock")
  const execRoot = join(home, "root")
  const pidfile = join(home, "pid")
  const parent = cgroupParent ?? null
  const place = { dataRoot, execRoot, socket, pidfile, bridge, cgroupParent: parent }
  const began = performance.now()
  const env = { ...engine.env, ...power.env }
  const machine = await powerOn(rig, name, { ...power, env, argv: engine.argv(place) })
  try {
    await answers(machine, socket)
  } catch (fault) {
    await machine.cut()
    throw fault
  }
  return {
    engine,
    machine,
    place,
    socket,
    startMs: performance.now() - began,
    stop: async () => {
      process.kill(machine.pid(), "SIGTERM")
      const code = await machine.ended
      await machine.cut()
      return code
    },
    [Symbol.asyncDispose]: machine.cut,
  }
}

const answers = async (machine: Machine, socket: string): Promise<void> => {
  let over = false
  void machine.ended.then(() => (over = true))
  for (;;) {
    if (existsSync(socket)) {
      const answer = await ask(socket, "GET", "/_ping").catch(() => null)
      answer?.body.resume()
      if (answer?.status === 200) return
    }
    if (over) throw new Error(`the daemon ended: ${machine.log().slice(-2000)}`)
    await sleep(2)
  }
}
