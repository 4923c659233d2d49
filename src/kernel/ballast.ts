import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { closeSync, openSync, rmSync, statSync } from "node:fs"
import { dirname } from "node:path"
import { freeSpace } from "./flush.ts"
import { bind, check } from "./libc.ts"

const libc = {
  fallocate64: bind("int fallocate64(int fd, int mode, int64_t offset, int64_t length)"),
}

export const BALLAST_BYTES = 8 << 20
/** Free bytes from which on the ballast is in nobody's way. */
const PLENTY_BYTES = 64 << 20
/** The unit of `stat`'s blocks, whatever the file system's own are. */
const BLOCK_BYTES = 512

/**
 * Room that is held for the day the disk is full: what clears it up has to be written down as well.
 * Nothing ever reads it. Its simulated twin is in `simulations/world/disk.ts`.
 */
export class Ballast extends Context.Service<Ballast, {
  /** Gives the room back to the disk; false: there is none left to give. */
  readonly give: () => boolean
  /** Takes it again where it was given and the disk has plenty; else does next to nothing. */
  readonly take: () => void
}>()("kernel/Ballast") {
  /** A file at `path`. A file system that can reserve no room goes without. */
  static readonly bodyLinux = (path: string) => Layer.sync(Ballast, () => ballastAt(path))
}

const ballastAt = (path: string): Ballast["Service"] => {
  let held = isWhole(path)
  return {
    give: () => {
      if (!held) return false
      held = false
      rmSync(path, { force: true })
      return true
    },
    take: () => {
      if (held) return
      if (freeSpace(dirname(path)).bytes >= PLENTY_BYTES) held = made(path)
    },
  }
}

/** Is it there with all its blocks? What a cut left half made is not. */
const isWhole = (path: string): boolean =>
  (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * BLOCK_BYTES >= BALLAST_BYTES

/** Reserves the blocks without writing any (fallocate(2)); answers whether it could. */
const made = (path: string): boolean => {
  try {
    const fd = openSync(path, "w", 0o600)
    try {
      check(libc.fallocate64(fd, 0, 0, BALLAST_BYTES), "fallocate", path)
    } finally {
      closeSync(fd)
    }
    return true
  } catch {
    rmSync(path, { force: true })
    return false
  }
}
