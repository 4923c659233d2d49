import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statfsSync,
  writeSync,
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
/** What Docker and balenaEngine keep, whatever their storage driver, and we do not. */
const FOREIGN = ["image", "buildkit", "containerd", "swarm", "trust"]
/** What we keep, and sweep of all that our database does not name. */
const SWEPT = ["overlay2", "containers", "volumes"]

const fault = (cause: string) => new DataRootFault({ cause })

/**
 * Makes the data root if it is missing, refuses what is not ours, and holds its lock until the
 * scope closes: one engine per data root. Only this lock's descriptor is ever closed by the kernel,
 * when the process ends.
 */
export const claimDataRoot = (path: string) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        mkdirSync(path, { recursive: true, mode: 0o710 })
        refuseForeign(path)
        chmodSync(path, 0o710)
        return locked(path)
      },
      catch: (error) =>
        error instanceof DataRootFault
          ? error
          : fault(`the data root ${path} cannot be used: ${(error as Error).message}`),
    }),
    (fd) => Effect.sync(() => closeSync(fd)),
  ).pipe(Effect.asVoid)

/** Throws where it would be wrong to begin: what others have written is never to be swept. */
const refuseForeign = (path: string): void => {
  if (statfsSync(path).type === OVERLAYFS_MAGIC) {
    throw fault(`the data root ${path} lies on overlayfs, which cannot hold containers: ` +
      "choose a directory on ext4, XFS or btrfs with --data-root")
  }
  if (existsSync(`${path}/engine.db`)) return
  const foreign = FOREIGN.find((name) => existsSync(`${path}/${name}`))
  if (foreign !== undefined) {
    throw fault(`the data root ${path} was written by Docker or balenaEngine (it holds ` +
      `${foreign}), in a layout that is not this engine's: it is left alone; choose another one ` +
      "with --data-root")
  }
  const orphan = SWEPT.find((name) => isFilled(`${path}/${name}`))
  if (orphan !== undefined) {
    throw fault(`the data root ${path} holds ${orphan}, but not the database engine.db that says ` +
      "what is in it: it is left alone; bring the database back, or choose another one with " +
      "--data-root")
  }
}

/** As many as there may be (proc(5), pid_max): the file is written over, and never grows. */
const PID_DIGITS = 7

const isFilled = (path: string): boolean => existsSync(path) && readdirSync(path).length > 0

/** Locks it, and leaves this process's pid for whoever comes second. Answers the descriptor. */
const locked = (path: string): number => {
  const lockPath = `${path}/lock`
  const fd = openSync(lockPath, constants.O_RDWR | constants.O_CREAT, 0o600)
  if (!lock(fd, "exclusive", false)) {
    closeSync(fd)
    const pid = readFileSync(lockPath, "utf8").trim()
    throw fault(`another engine${pid === "" ? "" : ` (pid ${pid})`} uses the data root ${path}: ` +
      "stop it, or choose another one with --data-root")
  }
  try {
    writeSync(fd, `${String(process.pid).padEnd(PID_DIGITS)}\n`, 0)
  } catch {
    // A full disk: it is locked all the same.
  }
  return fd
}
