import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  statfsSync,
} from "node:fs"
import { lock } from "./files.ts"

/** A data root that cannot be used, and what to do about it. */
export class DataRootFault extends Schema.TaggedError<DataRootFault>()("DataRootFault", {
  cause: Schema.String,
}) {
  override get message(): string {
    return this.cause
  }
}

/** statfs(2): an overlay mount cannot have its upper directory on another one. */
const OVERLAYFS_MAGIC = 0x794c7630
/** What Docker and balenaEngine keep in a data root, and we do not. */
const FOREIGN = ["image/overlay2", "image/aufs", "buildkit", "containerd", "swarm"]

const fault = (cause: string) => Effect.fail(new DataRootFault({ cause }))

/**
 * Makes the data root if it is missing, refuses what is not ours, and holds its lock until the
 * scope closes: one engine per data root. Only this lock's descriptor is ever closed by the kernel,
 * when the process ends.
 */
export const claimDataRoot = (path: string) =>
  Effect.gen(function*() {
    yield* Effect.try({
      try: () => mkdirSync(path, { recursive: true, mode: 0o710 }),
      catch: (error) =>
        new DataRootFault({ cause: `the data root cannot be made: ${String(error)}` }),
    })
    if (statfsSync(path).type === OVERLAYFS_MAGIC) {
      return yield* fault(
        `the data root ${path} lies on overlayfs, which cannot hold containers: ` +
          "choose a directory on ext4, XFS or btrfs with --data-root",
      )
    }
    const found = existsSync(`${path}/engine.db`)
      ? undefined
      : FOREIGN.find((name) => existsSync(`${path}/${name}`))
    if (found !== undefined) {
      return yield* fault(`the data root ${path} was written by Docker or balenaEngine (it holds ` +
        `${found}): it is left alone; choose another one with --data-root`)
    }
    chmodSync(path, 0o710)
    const fd = openSync(`${path}/lock`, "w", 0o600)
    yield* Effect.addFinalizer(() => Effect.sync(() => closeSync(fd)))
    if (!lock(fd, "exclusive", false)) {
      return yield* fault(`another engine uses the data root ${path}`)
    }
  })

/** The kernel's name for this boot of the machine (random(4)). */
export const bootId = (): string => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
