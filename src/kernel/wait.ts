import * as Effect from "effect/Effect"
import { readRecord } from "./bundle.ts"
import { hadOomKill } from "./cgroups.ts"
import { readExitCode, readOomMark } from "./exits.ts"
import { ended, PATIENCE, type Host } from "./host.ts"
import { signalProcess, type Process } from "./processes.ts"
import type { Exit, Started } from "./runtime.ts"

const SIGKILL = 9
/** Of a run whose end nobody saw: conmon, and so the code, was lost to a crash or a reboot. */
const EXIT_UNKNOWN = 255
const EXIT_KILLED = 128 + SIGKILL

/** Waits for a container's end, seen by whichever daemon. See `Runtime.wait`. */
export const wait = (host: Host, id: string, home: string, started: Started): Effect.Effect<Exit> =>
  Effect.gen(function*() {
    const record = readRecord(host.bundle(id))
    const { conmon = null, init = null } = record ?? {}
    let exitCode = EXIT_UNKNOWN
    if (conmon !== null && init !== null && isSame(init, started)) {
      // conmon writes the exit code, hands out what it still has to its clients, and ends.
      yield* keeperEnded(host, id, conmon, init)
      if (readExitCode(home) === null) exitCode = yield* orphanEnded(init)
    }
    return {
      exitCode: readExitCode(home) ?? exitCode,
      oomKilled: readOomMark(home) ||
        (record !== null && hadOomKill(host.cgroups(), record.cgroup)),
    }
  })

const isSame = (a: Started, b: Started): boolean => a.pid === b.pid && a.startTicks === b.startTicks

/**
 * conmon waits for its slowest client, for ever if that one never reads. Once the container is
 * dead, a client that takes nothing for a while is cut off: it must not keep everybody else from
 * knowing.
 */
const keeperEnded = (host: Host, id: string, conmon: Process, init: Process): Effect.Effect<void> =>
  ended(conmon).pipe(Effect.raceFirst(
    ended(init).pipe(
      Effect.andThen(Effect.forever(
        Effect.sync(() => host.lobby.expelIdle(id)).pipe(Effect.andThen(Effect.sleep(PATIENCE))),
      )),
    ),
  ))

/**
 * conmon is gone without a word. A container it left behind has lost its log, terminal and streams,
 * so it is ended, as containerd does whose shim died.
 */
const orphanEnded = (init: Process): Effect.Effect<number> =>
  Effect.suspend(() => signalProcess(init, SIGKILL)
    ? ended(init).pipe(Effect.as(EXIT_KILLED))
    : Effect.succeed(EXIT_UNKNOWN))
