import { fsyncSync, statfsSync } from "node:fs"
import { bind, check } from "./libc.ts"
import { close } from "./files.ts"

const libc = {
  sync_file_range: bind("int sync_file_range(int fd, int64_t offset, int64_t length, " +
    "unsigned int flags)"),
  posix_fadvise64: bind("int posix_fadvise64(int fd, int64_t offset, int64_t length, int advice)"),
  syncfs: bind("int syncfs(int fd)"),
}

/** Flags of sync_file_range(2): begin writing what is dirty; or wait before, write, wait after. */
const BEGIN = 2
const BEGIN_AND_WAIT = 7
const DONTNEED = 4

/**
 * The calls by which bytes become durable: the one place that makes them. A test puts a recorder in
 * front, to see that nothing is ever said before it is true.
 */
export interface FlushCalls {
  /** Starts writing a range of a file (length 0: to its end) to the disk; does not wait. */
  readonly begin: (fd: number, offset: number, length: number) => void
  /** Writes a range and waits until the device has it. Of data only: fsync makes it findable. */
  readonly wait: (fd: number, offset: number, length: number) => void
  /** Drops a range's clean pages from the page cache. */
  readonly drop: (fd: number, offset: number, length: number) => void
  /** Makes a file durable, and (ext4, XFS) every change of names and attributes before it. */
  readonly fsync: (fd: number) => void
  /** Makes a whole file system durable. */
  readonly syncfs: (fd: number) => void
  readonly close: (fd: number) => void
}

export const flushCalls: FlushCalls = {
  begin: (fd, offset, length) => {
    check(libc.sync_file_range(fd, offset, length, BEGIN), "sync_file_range", `fd ${fd}`)
  },
  wait: (fd, offset, length) => {
    check(libc.sync_file_range(fd, offset, length, BEGIN_AND_WAIT), "sync_file_range", `fd ${fd}`)
  },
  drop: (fd, offset, length) => {
    libc.posix_fadvise64(fd, offset, length, DONTNEED)
  },
  fsync: fsyncSync,
  syncfs: (fd) => {
    check(libc.syncfs(fd), "syncfs", `fd ${fd}`)
  },
  close,
}

/** statfs(2) magic numbers of file systems whose fsync commits all earlier changes of metadata. */
const JOURNAL_IN_ORDER = new Set([0xef53 /* ext2, 3, 4 */, 0x58465342 /* XFS */])

/** Does one fsync on this file's file system make all earlier creates and renames durable too? */
export const fsyncOrders = (path: string): boolean => JOURNAL_IN_ORDER.has(statfsSync(path).type)

/** What is free of a file system, to those without privilege. */
export interface FreeSpace {
  readonly bytes: number
  readonly totalBytes: number
  /** Inodes; null: not limited. */
  readonly files: number | null
  readonly totalFiles: number
}

/** What is free where `path` lies (statfs(2)). */
export const freeSpace = (path: string): FreeSpace => {
  const { bavail, blocks, bsize, files, ffree } = statfsSync(path)
  return {
    bytes: bavail * bsize, totalBytes: blocks * bsize,
    files: files === 0 ? null : ffree, totalFiles: files,
  }
}
