import { existsSync, renameSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { reopenLog } from "./conmon.ts"
import { attempt, type Host } from "./host.ts"
import type { RunFault } from "./runtime.ts"

/** Each a millisecond after a longer pause: two seconds in all. */
const LOOKS = 64

interface Limits {
  readonly bytes: number
  readonly files: number
}

/**
 * Rotates from outside, as conmon's own way (`--log-size-max`) throws lines away: the file gets
 * another name, in which conmon goes on writing until it is told to open the first one again. A
 * crash in between is found at the next look by there being no file, and made up for.
 * See `Runtime.rotateLog`.
 */
export const rotateLog = (
  host: Host, id: string, home: string, limits: Limits,
): Effect.Effect<boolean, RunFault> =>
  Effect.gen(function*() {
    const path = join(home, "log")
    const bytes = yield* attempt(() => statSync(path, { throwIfNoEntry: false })?.size ?? Infinity)
    if (bytes < limits.bytes) return false
    if (bytes !== Infinity) yield* attempt(() => putAside(path, limits.files))
    const isHeard = yield* attempt(() => reopenLog(host.bundle(id).path))
    for (let look = 0; isHeard && look < LOOKS && !existsSync(path); look++) {
      yield* Effect.sleep(1 + look)
    }
    if (limits.files === 1) yield* attempt(() => rmSync(`${path}.1`, { force: true }))
    return true
  }).pipe(Effect.uninterruptible)

/** Counts every old log one up, and lets go of the oldest. One is kept until there is a new one. */
const putAside = (path: string, files: number): void => {
  for (let age = Math.max(files - 1, 1); age > 0; age--) {
    const from = age === 1 ? path : `${path}.${age - 1}`
    if (existsSync(from)) renameSync(from, `${path}.${age}`)
  }
}
