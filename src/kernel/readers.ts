import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs"
import koffi from "koffi"
import { bind, check, Errno, errno, isErrno } from "./libc.ts"
import { openat2, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS } from "./openat2.ts"

/**
 * Reading what the engine has kept: beneath a directory, and without taking the page cache from
 * the applications on the device. Everything here is synchronous and throws `Errno`.
 */

const CACHESTAT = 451
const RWF_DONTCACHE = 0x80
const PROT_READ = 1
const MAP_SHARED = 1
const FADV_RANDOM = 1
const FADV_WILLNEED = 3
const FADV_DONTNEED = 4
const PAGE = 4096
const O_PATH = 0o10000000
const O_CLOEXEC = 0o2000000

const preadv2 = bind(
  "int64 preadv64v2(int fd, const void *iov, int count, int64 offset, int flags)")
const fadvise = bind("int posix_fadvise64(int fd, int64 offset, int64 length, int advice)")
const mmap = bind(
  "intptr_t mmap64(intptr_t at, size_t length, int prot, int flags, int fd, int64 offset)")
const munmap = bind("int munmap(intptr_t at, size_t length)")
const mincore = bind("int mincore(intptr_t at, size_t length, void *vector)")
const cachestat = bind(
  "long syscall(long number, int fd, const void *range, void *stat, unsigned int flags)")

const lifted = <A>(call: string, subject: string, act: () => A): A => {
  try {
    return act()
  } catch (error) {
    const number = (error as NodeJS.ErrnoException).errno
    if (number === undefined) throw error
    throw new Errno(call, subject, -number)
  }
}

/** Opens a directory to open others beneath it. */
export const openDirectory = (path: string): number =>
  lifted("open", path, () => openSync(path, O_PATH | constants.O_DIRECTORY | O_CLOEXEC))

/** Opens a file of the engine's own, by its full path, for reading. */
export const openFile = (path: string): number =>
  lifted("open", path, () => openSync(path, constants.O_RDONLY | O_CLOEXEC))

export const closeFile = (fd: number): void => closeSync(fd)

/** Bytes of an open regular file. */
export const fileSize = (fd: number): number =>
  lifted("fstat", `fd ${fd}`, () => {
    const stat = fstatSync(fd)
    if (!stat.isFile()) throw new Errno("fstat", `fd ${fd}`, koffi.os.errno["EINVAL"]!)
    return stat.size
  })

const READ_FLAGS =
  constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOATIME
/**
 * Opens a file for reading by the bytes of its path below an open directory (openat2(2)). Symlinks
 * are not followed anywhere in it, nothing outside is reached, its access time stays as it is, and
 * a FIFO does not block.
 */
export function openForReading(directory: number, path: Buffer): number {
  if (path.includes(0)) throw new Errno("openat2", path.toString(), koffi.os.errno["EINVAL"]!)
  const name = Buffer.concat([path, Buffer.alloc(1)])
  const fd = openat2(directory, name, READ_FLAGS, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
  return check(fd, "openat2", path.toString())
}

/** Fills `buffer` from `offset` on; answers how many bytes there were. */
export const readAt = (fd: number, buffer: Buffer, offset: number): number =>
  lifted("read", `fd ${fd}`, () => {
    let done = 0
    while (done < buffer.length) {
      const got = readSync(fd, buffer, done, buffer.length - done, offset + done)
      if (got === 0) break
      done += got
    }
    return done
  })

const POINTER = koffi.sizeof("void *")
const iovec = Buffer.alloc(2 * POINTER)
const point = (address: bigint, length: number): void => {
  if (POINTER === 8) {
    iovec.writeBigUInt64LE(address, 0)
    iovec.writeBigUInt64LE(BigInt(length), 8)
  } else {
    iovec.writeUInt32LE(Number(address), 0)
    iovec.writeUInt32LE(length, 4)
  }
}

/**
 * As `readAt`, leaving the page cache as it was: what an application has in it stays, what this
 * read brings in goes. `RWF_DONTCACHE` does it in the kernel (Linux 6.14, preadv2(2)); where that
 * is refused, what was resident before is found out with mincore(2) and only the rest dropped
 * again.
 */
export function readQuietly(fd: number, buffer: Buffer, offset: number): number {
  const start = koffi.address(buffer)
  let done = 0
  while (done < buffer.length) {
    point(start + BigInt(done), buffer.length - done)
    const got = Number(preadv2(fd, iovec, 1, offset + done, RWF_DONTCACHE))
    if (got === 0) break
    if (got > 0) done += got
    else if (isErrno("EOPNOTSUPP") || isErrno("ENOSYS") || isErrno("EINVAL")) {
      return done + readAndDrop(fd, buffer.subarray(done), offset + done)
    } else if (!isErrno("EINTR")) throw new Errno("preadv2", `fd ${fd}`, errno())
  }
  return done
}

/**
 * For each page of a range (`offset` on a page's boundary): is it in the page cache? Null: cannot
 * be known. See mincore(2).
 */
export function resident(fd: number, offset: number, pages: number): readonly boolean[] | null {
  const at = mmap(0, pages * PAGE, PROT_READ, MAP_SHARED, fd, offset)
  if (Number(at) === -1) return null
  const vector = Buffer.alloc(pages)
  const known = mincore(at, pages * PAGE, vector) === 0
  check(munmap(at, pages * PAGE), "munmap", `fd ${fd}`)
  return known ? Array.from(vector, (byte) => (byte & 1) === 1) : null
}

const cacheRange = Buffer.alloc(16)
const cacheStat = Buffer.alloc(40)

/** Is any page of a file's first `length` bytes in the page cache? Null: cannot be known. */
function isCached(fd: number, length: number): boolean | null {
  cacheRange.writeBigUInt64LE(BigInt(length), 8)
  // Linux 6.5, include/uapi/linux/mman.h: the first number is that of pages in the cache.
  if (cachestat(CACHESTAT, fd, cacheRange, cacheStat, 0) === 0) return cacheStat.readUInt32LE() > 0
  return resident(fd, 0, Math.ceil(length / PAGE))?.includes(true) ?? null
}

/**
 * Has the kernel begin to read a file's first `length` bytes; answers whether it does. It does not
 * where some are in the page cache already (or are being read), or that cannot be known: what this
 * brings in is to be dropped again (`dropCache`). Not found out by a read with RWF_NOWAIT: that
 * begins to read as well, and a quick disk has answered by then. posix_fadvise(2).
 */
export const readAhead = (fd: number, length: number): boolean =>
  isCached(fd, length) === false && fadvise(fd, 0, length, FADV_WILLNEED) === 0

/** Asks the kernel to forget a file's clean pages. */
export const dropCache = (fd: number): void => {
  fadvise(fd, 0, 0, FADV_DONTNEED)
}

/** The older way of `readQuietly`. Exported for its test. */
export function readAndDrop(fd: number, buffer: Buffer, offset: number): number {
  if (buffer.length === 0) return 0
  // Read ahead would bring in pages that the next read must take for somebody else's.
  fadvise(fd, 0, 0, FADV_RANDOM)
  const start = offset - offset % PAGE
  const pages = Math.ceil((offset + buffer.length - start) / PAGE)
  const before = resident(fd, start, pages)
  const got = readAt(fd, buffer, offset)
  if (before === null) return got
  for (let page = 0; page < pages;) {
    const first = page
    while (page < pages && !before[page]) page++
    if (page > first) fadvise(fd, start + first * PAGE, (page - first) * PAGE, FADV_DONTNEED)
    else page++
  }
  return got
}
