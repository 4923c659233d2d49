import { readdirSync, readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import {
  bundleExists, readRecord, removeBundle, removeState, type Bundle, type Record,
} from "./bundle.ts"
import { pidsOf, removeGroup, thaw, type Cgroups } from "./cgroups.ts"
import { attempt, awaited, ended, PATIENCE, type Host } from "./host.ts"
import type { Errno } from "./libc.ts"
import { unmount } from "./mounts.ts"
import { processOf, signalProcess } from "./processes.ts"
import { RunFault } from "./runtime.ts"

const SIGKILL = 9
const TRIES_MAX = 400

/**
 * Undoes whatever a start has made, in an order that a crash at any point lets begin again: the
 * bundle, with the record of what there is, goes last. See `Runtime.clean`.
 *
 * The runtime's own `delete` is not called: it would kill, remove the group and its state
 * directory, all of which must be possible without it here (after a half-made create it knows
 * nothing), and it costs 10 ms of processor time.
 */
export const clean = (host: Host, id: string): Effect.Effect<void, RunFault> =>
  Effect.gen(function*() {
    const bundle = host.bundle(id)
    if (!bundleExists(bundle)) return
    const record = yield* attempt(() => readRecord(bundle))
    if (record !== null) yield* end(yield* attempt(host.cgroups), bundle, record, id)
    yield* attempt(() => removeState(host.settings.execRoot, id))
    for (const mountPoint of [bundle.rootfs, bundle.shm]) {
      const failure = yield* awaited<Errno | null>((done) => unmount(mountPoint, done))
      if (failure !== null) return yield* new RunFault({ cause: failure.message })
    }
    yield* attempt(() => removeBundle(bundle))
  }).pipe(Effect.uninterruptible)

/** Kills until nothing of the container runs and its group is gone. */
const end = (cgroups: Cgroups, bundle: Bundle, record: Record, id: string) =>
  Effect.gen(function*() {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const left = yield* attempt(() => kill(cgroups, bundle, record))
      if (left.length === 0 && (yield* attempt(() => removeGroup(cgroups, record.cgroup)))) {
        return yield* keeperEnded(record)
      }
      yield* Effect.sleep(Math.min(1 + tries, 50)) // A killed process takes a moment to leave.
    }
    const pids = pidsOf(cgroups, record.cgroup).join(", ")
    return yield* new RunFault({ cause: `processes of container ${id} do not end: ${pids}` })
  })

/** conmon still has the exit code to write and output to hand out; then it must not stay either. */
const keeperEnded = ({ conmon }: Record): Effect.Effect<void> =>
  conmon === null
    ? Effect.void
    : ended(conmon).pipe(Effect.timeoutOrElse({
      duration: PATIENCE,
      orElse: () => {
        signalProcess(conmon, SIGKILL)
        return ended(conmon)
      },
    }))

/** Kills what there is, and says what there was. */
const kill = (cgroups: Cgroups, bundle: Bundle, record: Record): readonly number[] => {
  thaw(cgroups, record.cgroup)
  // Once a container is created, all of it is in its group; before, its makers must be looked for.
  const makers = record.init === null ? makersOf(bundle) : []
  const left = [...makers, ...pidsOf(cgroups, record.cgroup)]
  for (const pid of left) {
    const process = processOf(pid)
    if (process !== null) signalProcess(process, SIGKILL)
  }
  return left
}

/** conmon and the runtime while they make a container: the processes that name its bundle. */
const makersOf = (bundle: Bundle): readonly number[] =>
  readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(bundle.path)
    } catch {
      return false
    }
  })
