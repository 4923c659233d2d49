import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Endpoint } from "./links.ts"

/**
 * A container that could not be started. `exitCode` is Docker's: 125 the engine's fault, 126 not
 * runnable, 127 not found.
 */
export class StartFault extends Schema.TaggedError<StartFault>()("StartFault", {
  exitCode: Schema.Number,
  cause: Schema.String,
}) {
  override get message(): string {
    return this.cause
  }
}

/** What the kernel or the runtime refused, in words a person can act on. */
export class RunFault extends Schema.TaggedError<RunFault>()("RunFault", {
  cause: Schema.String,
}) {
  override get message(): string {
    return this.cause
  }
}

/** All that a start needs. Every name follows from `id`, so `clean` undoes any half-made start. */
export interface RunPlan {
  readonly id: string
  /** Overlay lower directories, uppermost first; paths of layers' `diff`. */
  readonly lower: readonly string[]
  /** `<data-root>/containers/<id>`: upper, work, log, exit file, hostname, hosts, resolv.conf. */
  readonly home: string
  /**
   * Files written into `home` before the runtime is called (hostname, hosts, resolv.conf), and the
   * runtime spec, built by a pure function once the root file system is mounted: it is given a
   * reader for `/etc/passwd` and `/etc/group` of that (null: no such file). What it throws with a
   * text as its `cause` becomes the `StartFault`.
   */
  readonly files: Readonly<Record<string, string>>
  /** Absolute paths in the root file system that shall be directories: made where they are not. */
  readonly folders: readonly string[]
  readonly spec: (rootfs: {
    readonly path: string
    readonly read: (path: string) => string | null
  }) => unknown
  /** Bytes of a /dev/shm that other containers may bind (`Bundle.shm`); null: there is none. */
  readonly shmBytes: number | null
  readonly terminal: boolean
  readonly stdin: boolean
  /** Close the container's stdin when the first client that attached leaves: Docker's StdinOnce. */
  readonly stdinOnce: boolean
  /** false: keep no log at all (log driver `none`). */
  readonly log: boolean
  /** The name under which journald is told what the container writes, too; null: it is not. */
  readonly journal: string | null
  /** What to configure in the container's own network namespace; null: none or the host's. */
  readonly endpoint: Endpoint | null
}

export interface Started {
  readonly pid: number
  /** Field 22 of /proc/<pid>/stat: with the pid it names one process for ever within a boot. */
  readonly startTicks: number
}

/** A process that runs, and what it has on a network. */
export interface Connected extends Started {
  /** The plan's; of a process that an earlier daemon started, its own plan's. Null: nothing. */
  readonly endpoint: Endpoint | null
}

export interface Exit {
  readonly exitCode: number
  readonly oomKilled: boolean
}

/** One client's connection to a container's streams. */
export interface Attachment {
  /**
   * Reads what the container wrote, in packets: stream 1 stdout, 2 stderr (a terminal: only 1).
   * `onData` answers false to pause; call `resume` when the client can take more. `onEnd` comes
   * once, after the last byte.
   */
  readonly read: (onData: (stream: 1 | 2, data: Buffer) => boolean, onEnd: () => void) => void
  readonly resume: () => void
  /** Queues stdin; answers false when the caller should pause until `onDrain`. */
  readonly write: (data: Buffer, onDrain: () => void) => boolean
  /** Half-closes stdin once everything queued is written. */
  readonly closeStdin: () => void
  readonly close: () => void
}

/**
 * The one door to running containers: conmon, the OCI runtime, overlay mounts, cgroups and each
 * container's network namespace. Its simulated twin is in `simulations/world/runtime.ts`; both pass
 * `test/contracts/runtime.ts`. Every call is idempotent unless it says otherwise.
 */
export class Runtime extends Context.Service<Runtime, {
  /**
   * Mounts, creates, connects the network, attaches `attach` (called between create and start, so
   * that no output is missed), starts. Leaves a half-made start for `clean`, or for the next
   * `start`, which cleans first. If this container was started already (the daemon died after it),
   * answers that process, even if it has ended since: `clean` lies between two runs. Clients that
   * wait in `attach` are connected before anything runs; where the start fails, they fail with its
   * cause.
   */
  readonly start: (plan: RunPlan) => Effect.Effect<Connected, StartFault>
  /**
   * Waits for the end. Called again after a crash or a reboot it finds the process, or the exit
   * file, or nothing (then the exit code is 255, as the container is gone without a trace).
   */
  readonly wait: (id: string, home: string, started: Started) => Effect.Effect<Exit>
  /** Sends a signal (by name or number) to this very process; succeeds if it is gone already. */
  readonly signal: (id: string, started: Started, signal: string) => Effect.Effect<void, RunFault>
  readonly freeze: (id: string) => Effect.Effect<void, RunFault>
  readonly thaw: (id: string) => Effect.Effect<void, RunFault>
  /** Undoes whatever a start made in the kernel: process, runtime state, mounts, cgroup, links. */
  readonly clean: (id: string, home: string) => Effect.Effect<void, RunFault>
  /** Removes the container's files for good. Call `clean` first. */
  readonly remove: (home: string) => Effect.Effect<void, RunFault>
  /** Connects to a container's streams; of one that does not run, waits for its next start. */
  readonly attach: (id: string) => Effect.Effect<Attachment, RunFault>
  readonly resize: (id: string, height: number, width: number) => Effect.Effect<void, RunFault>
  /**
   * Puts a running container's log aside if it has grown to `bytes`, and begins a new one; of old
   * ones as many are kept as make `files` in all. Answers whether it did. No line is lost.
   */
  readonly rotateLog: (
    id: string,
    home: string,
    limits: { readonly bytes: number; readonly files: number },
  ) => Effect.Effect<boolean, RunFault>
  /** Pids of the container, as the host counts them. */
  readonly pids: (id: string) => Effect.Effect<readonly number[], RunFault>
  /**
   * What containers have on a network that were started and not cleaned since, by their ids: also
   * those whose start nobody could write down any more.
   */
  readonly connected: Effect.Effect<readonly (readonly [string, Endpoint])[], RunFault>
  /** Changes limits while it runs: `resources` is an OCI `linux.resources`; what it lacks stays. */
  readonly limit: (id: string, resources: object) => Effect.Effect<void, RunFault>
}>()("kernel/Runtime") {}
