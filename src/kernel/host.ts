import * as Effect from "effect/Effect"
import type { Lobby } from "./attach.ts"
import type { Bundle } from "./bundle.ts"
import type { Cgroups } from "./cgroups.ts"
import { Missing, type Machine, type OciRuntime } from "./probe.ts"
import { onEnd, type Process } from "./processes.ts"
import { RunFault } from "./runtime.ts"
import { run, type Outcome } from "./spawn.ts"

export interface RuntimeSettings {
  /** Sockets, mount points, records: nothing here is needed after a reboot. */
  readonly execRoot: string
  /** `crun`, `runc` or a path; null: the best that is installed. */
  readonly runtime: string | null
  /** The group below which a container's own is, where its spec names none: `/balena-engine`. */
  readonly cgroupParent: string
}

/** How long a client may take nothing of the last output once its container is dead. */
export const PATIENCE = "3 seconds"

/** What the parts of the Linux body share. */
export interface Host {
  readonly settings: RuntimeSettings
  /** What this machine offers; looked for at the first use. Throws `Missing`. */
  readonly machine: () => Machine
  /** Never takes this runtime again, as it does not work here. */
  readonly discard: (runtime: OciRuntime) => void
  readonly cgroups: () => Cgroups
  readonly bundle: (id: string) => Bundle
  readonly lobby: Lobby
}

/**
 * What the kernel (or Node for it) refused carries a code; what is not installed is `Missing`; what
 * a reckoner refused carries its `cause` as text. Anything else is a bug and stays one.
 */
const refusal = (error: unknown): RunFault => {
  if (error instanceof Error) {
    if (typeof error.cause === "string") return new RunFault({ cause: error.cause })
    const hasCode = typeof (error as NodeJS.ErrnoException).code === "string"
    if (hasCode || error instanceof Missing) return new RunFault({ cause: error.message })
  }
  throw error
}

/** Lifts a plain synchronous function: what is refused becomes a fault, a bug stays a defect. */
export const attempt = <A>(body: () => A): Effect.Effect<A, RunFault> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(body())
    } catch (error) {
      return Effect.fail(refusal(error))
    }
  })

/** Lifts a plain function that answers later, once; what it refuses at once becomes a fault. */
export const awaited = <A>(body: (done: (result: A) => void) => void): Effect.Effect<A, RunFault> =>
  Effect.callback((resume) => {
    try {
      body((result) => resume(Effect.succeed(result)))
    } catch (error) {
      resume(Effect.suspend(() => Effect.fail(refusal(error))))
    }
  })

/** Calls the OCI runtime on its own state directory and waits for its end. */
export const callRuntime = (
  { runtime, state }: { readonly runtime: OciRuntime; readonly state: string },
  argv: readonly string[],
): Effect.Effect<Outcome, RunFault> =>
  awaited((done) => {
    run({ argv: [runtime.path, "--root", state, ...argv], hideUnified: runtime.hideUnified }, done)
  })

/** Waits until this very process has ended. Interrupting it only stops the waiting. */
export const ended = (process: Process): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const stop = onEnd(process, () => resume(Effect.void))
    return Effect.sync(stop)
  })
