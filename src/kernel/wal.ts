import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { closeSync, fdatasync, fstatSync, openSync } from "node:fs"

/**
 * Makes what SQLite has committed durable. Its simulated twin decides at each call, and at each
 * power cut, which commits the disk has kept: `simulations/world/disk.ts`.
 */
export class Wal extends Context.Service<Wal, {
  /**
   * Returns once everything committed before the call is on the disk. A failure is a defect: after
   * a failed fdatasync nobody knows what the disk holds, so the process ends and recovers from it.
   */
  readonly sync: Effect.Effect<void>
  /** Bytes in the write-ahead log, to know when it is worth emptying. */
  readonly size: () => number
}>()("kernel/Wal") {
  /**
   * Syncs `<database>-wal` in libuv's pool, never on the main thread. The descriptor is read-only
   * and stays open: closing one on the database file itself would drop SQLite's POSIX locks.
   */
  static readonly bodyLinux = (database: string) =>
    Layer.effect(
      Wal,
      Effect.map(
        Effect.acquireRelease(
          Effect.sync(() => openSync(`${database}-wal`, "r")),
          (fd) => Effect.sync(() => closeSync(fd)),
        ),
        (fd) =>
          Wal.of({
            sync: Effect.callback<void>((resume) =>
              fdatasync(fd, (error) => resume(error === null ? Effect.void : Effect.die(error)))
            ),
            size: () => fstatSync(fd).size,
          }),
      ),
    )
}
