import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { textOf } from "./machine.ts"

/** A pid file that cannot be written, or that belongs to another daemon. */
export class PidfileFault extends Schema.TaggedError<PidfileFault>()("PidfileFault", {
  cause: Schema.String,
}) {
  override get message(): string {
    return this.cause
  }
}

/**
 * Writes this process's pid for whoever starts and stops services, and removes it when the scope
 * closes. Refused where the file names a daemon of ours that lives; what a dead one left is
 * overwritten, even where its pid has since gone to some other program: after a power cut nobody
 * would be there to delete the file. An empty path: none is wanted.
 */
export const claimPidfile = (path: string) =>
  path === ""
    ? Effect.void
    : Effect.acquireRelease(
      Effect.suspend(() => {
        if (isTaken(path)) {
          return Effect.fail(new PidfileFault({
            cause: `pid file found, ensure balenaEngine is not running or delete ${path}`,
          }))
        }
        return Effect.try({
          try: () => {
            mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
            writeFileSync(path, String(process.pid), { mode: 0o644 })
          },
          catch: (error) => new PidfileFault({ cause: `the pid file: ${String(error)}` }),
        })
      }),
      () => Effect.sync(() => rmSync(path, { force: true })),
    ).pipe(Effect.asVoid)

const isTaken = (path: string): boolean => {
  const pid = pidIn(path)
  return pid !== process.pid && pid > 0 && isDaemon(pid)
}

/** The names our daemon runs by: words of its command line (proc(5)). */
const NAMES = ["balenad", "balena-engine-daemon"]

const isDaemon = (pid: number): boolean => {
  const words = (textOf(`/proc/${pid}/cmdline`) ?? "").split("\0")
  return words.some((word) => NAMES.includes(word))
}

/** 0 where there is no file, or no pid in it. */
const pidIn = (path: string): number =>
  Number(/^\s*(\d+)\s*$/.exec(textOf(path) ?? "")?.[1] ?? 0)
