import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { main } from "../../src/daemon.ts"
import { Wal } from "../../src/kernel/wal.ts"

/**
 * The daemon, ended by SIGKILL at a chosen commit: CRASH_AT says at which sync of the log, counted
 * from 1, and CRASH_WAY how much of it the disk has.
 *
 * `kept`: right after the sync, before the loop hears of it. What was committed is there, and
 * nothing has been done about it. `lost`: before the sync, and what was committed since the last
 * one is cut off the log, as a disk may after a power cut. So whatever has been done about it would
 * be found out.
 *
 * CRASH_COUNT names a file that gets the number of syncs so far.
 */
const env = process.env
const at = Number(env["CRASH_AT"] ?? Infinity)
const way = env["CRASH_WAY"] ?? "kept"
const countPath = env["CRASH_COUNT"]

const die = () => process.kill(process.pid, "SIGKILL")

const crashing = (real: Wal["Service"], path: string): Wal["Service"] => {
  let count = 0
  let syncedBytes = 0
  return {
    size: real.size,
    sync: Effect.suspend(() => {
      count += 1
      const bytes = real.size()
      if (countPath !== undefined) writeFileSync(countPath, String(count))
      if (count === at && way === "lost") {
        truncateSync(path, syncedBytes)
        die()
      }
      return Effect.andThen(real.sync, Effect.sync(() => {
        syncedBytes = bytes
        if (count === at) die()
      }))
    }),
  }
}

const wal = (database: string) =>
  Layer.effect(
    Wal,
    Effect.map(Effect.service(Wal), (real) => crashing(real, `${database}-wal`)),
  ).pipe(Layer.provide(Wal.bodyLinux(database)))

const childEntry = [join(import.meta.dirname, "main.js"), "child"]
process.exitCode = await main(process.argv.slice(2), { childEntry, wal })
