import {
  closeSync, existsSync, mkdirSync, openSync, rmSync, statfsSync, statSync, truncateSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { bind, check, Errno } from "../../src/kernel/libc.ts"

const fallocate = bind("int fallocate64(int fd, int mode, int64_t offset, int64_t length)")

/** The block of a file system that `makeVolume` made. */
const BLOCK = 4096
const STEP_MOST = 2 ** 26

/** Room of a disk that is taken as another program would take it. */
export interface Filler {
  /** Takes all but this many bytes; 0: the very last block, and root's reserve with it. */
  readonly leave: (bytes: number) => void
  /** Takes all but this many inodes. */
  readonly leaveFiles: (files: number) => void
  /** Gives so many of them back. */
  readonly giveBack: (bytes: number) => void
  /** Gives all of it back. */
  readonly drop: () => void
}

/** Fills the disk that `directory` is on, from within it; it must not be there yet. */
export const fillerIn = (directory: string): Filler => {
  const path = join(directory, "bytes")
  let taken = { bytes: 0, files: 0 }
  const made = () => mkdirSync(directory, { recursive: true })
  return {
    leave: (bytes) => {
      made()
      const fd = openSync(path, "a")
      const grow = (step: number) => isReserved(fd, taken.bytes, step) && (taken.bytes += step)
      try {
        if (bytes > 0) grow(freeOf(path) - bytes)
        else for (let step = STEP_MOST; step >= BLOCK; step /= 2) while (grow(step)) continue
      } finally {
        closeSync(fd)
      }
    },
    leaveFiles: (files) => {
      made()
      for (let left = statfsSync(directory).ffree - files; left > 0; left--) {
        writeFileSync(join(directory, String(taken.files++)), "")
      }
    },
    giveBack: (bytes) => {
      taken.bytes -= bytes
      truncateSync(path, taken.bytes)
    },
    drop: () => {
      rmSync(directory, { recursive: true, force: true })
      taken = { bytes: 0, files: 0 }
    },
  }
}

const isReserved = (fd: number, from: number, bytes: number): boolean => {
  try {
    check(fallocate(fd, 0, from, bytes), "fallocate", "the filler")
    return true
  } catch (error) {
    if (error instanceof Errno && error.code === "ENOSPC") return false
    throw error
  }
}

/** Bytes that root may still write where a path lies. */
export const freeOf = (path: string): number => {
  const { bfree, bsize } = statfsSync(path)
  return bfree * bsize
}

/** What grows with what is remembered, and the room held in reserve: not what images take. */
const BOOKS = ["engine.db", "engine.db-wal", "engine.db-shm", "ballast"]

/** Bytes that all but its books takes on the disk of a data root, deleted but open files too. */
export const takenBy = (dataRoot: string): number => {
  const { blocks, bfree, bsize } = statfsSync(dataRoot)
  const books = BOOKS.map((name) => join(dataRoot, name)).filter((path) => existsSync(path))
  return books.reduce((sum, path) => sum - statSync(path).blocks * 512, (blocks - bfree) * bsize)
}
