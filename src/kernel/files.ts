import * as fs from "node:fs"
import { endianness } from "node:os"
import koffi from "koffi"
import { bind, check, errno, Errno, isErrno } from "./libc.ts"
import {
  openat2, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS,
} from "./openat2.ts"

/**
 * Files, named as the kernel names them: relative to an open directory, by bytes. Nothing here
 * takes an absolute path but `openRoot`; from there on `openBeneath` and `openInRoot` resolve
 * inside that root by the kernel's own rules (openat2(2)), and every `…At` call takes one single
 * name, which can not lead anywhere. All throw `Errno`.
 *
 * A `Bytes` is a byte string with one character per byte (latin1): paths on Linux are bytes, and
 * strings are what maps and sets can hold.
 */
export type Bytes = string

/** The text of a byte string, for people. */
export const shown = (bytes: Bytes): string => Buffer.from(bytes, "latin1").toString("utf8")

if (endianness() !== "LE") throw new Error("this engine runs on little-endian machines only")

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = fs.constants
const O_CLOEXEC = 0o2000000
const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const AT_REMOVEDIR = 0x200

const wide = koffi.sizeof("void *") === 8
const libc = {
  openat: bind("int openat(int fd, const void *name, int flags, int mode)"),
  mkdirat: bind("int mkdirat(int fd, const void *name, uint32_t mode)"),
  mknodat: bind("int mknodat(int fd, const void *name, uint32_t mode, uint64_t device)"),
  symlinkat: bind("int symlinkat(const void *target, int fd, const void *name)"),
  linkat: bind("int linkat(int fd, const void *name, int toFd, const void *toName, int flags)"),
  renameat: bind("int renameat(int fd, const void *name, int toFd, const void *toName)"),
  unlinkat: bind("int unlinkat(int fd, const void *name, int flags)"),
  fchownat: bind("int fchownat(int fd, const void *name, uint32_t uid, uint32_t gid, int flags)"),
  fchmodat: bind("int fchmodat(int fd, const void *name, uint32_t mode, int flags)"),
  fchown: bind("int fchown(int fd, uint32_t uid, uint32_t gid)"),
  fchmod: bind("int fchmod(int fd, uint32_t mode)"),
  fsetxattr: bind("int fsetxattr(int fd, const void *key, const void *value, size_t n, int flags)"),
  lsetxattr: bind("int lsetxattr(const void *path, const void *key, const void *value, " +
    "size_t n, int flags)"),
  readlinkat: bind("int64_t readlinkat(int fd, const void *name, void *buffer, size_t size)"),
  flock: bind("int flock(int fd, int operation)"),
  // 32-bit systems keep the old calls with a 32-bit time under the plain names.
  futimens: bind(`int ${wide ? "futimens" : "__futimens64"}(int fd, const void *times)`),
  utimensat: bind(`int ${wide ? "utimensat" : "__utimensat64"}` +
    "(int fd, const void *name, const void *times, int flags)"),
}

/** A path longer than this is refused before the kernel sees it. PATH_MAX is 4096 with the NUL. */
export const PATH_MAX = 4095
const scratch = Buffer.allocUnsafeSlow(PATH_MAX + 1)
const scratch2 = Buffer.allocUnsafeSlow(PATH_MAX + 1)
const NOTHING = Buffer.alloc(1)

/** NUL-terminates a byte string in a scratch buffer that lives until the next call. */
const cstring = (bytes: Bytes, call: string, into = scratch): Buffer => {
  if (bytes.length > PATH_MAX) {
    throw new Errno(call, `${shown(bytes.slice(0, 80))}…`, koffi.os.errno["ENAMETOOLONG"]!)
  }
  into[into.write(bytes, "latin1")] = 0
  return into
}

const opened = (root: number, path: Bytes, flags: number, resolve: number): number =>
  openat2(root, cstring(path || ".", "openat2"), flags, resolve)

/** Opens a directory by its full path: the root of all that follows. */
export const openRoot = (path: string): number =>
  check(libc.openat(AT_FDCWD, cstring(Buffer.from(path).toString("latin1"), "open"),
    O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), "open", path)

/**
 * Opens a directory below `root` if no part of its path is a symlink. Answers -1 where one is
 * (ELOOP) or a part is missing (ENOENT): `isErrno` tells which. Empty path: the root itself.
 */
export const openBeneath = (root: number, path: Bytes): number => {
  const fd = opened(root, path, O_RDONLY | O_DIRECTORY,
    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
  if (fd < 0 && !isErrno("ELOOP") && !isErrno("ENOENT")) check(fd, "openat2", shown(path))
  return fd
}

/**
 * Opens a directory as a process chrooted to `root` would: symlinks are followed, but stay
 * inside.
 */
export const openInRoot = (root: number, path: Bytes): number =>
  check(opened(root, path, O_RDONLY | O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS),
    "openat2", shown(path))

/**
 * Opens a regular file below `root` for writing at any offset; no part of its path is a symlink.
 */
export const openFileBeneath = (root: number, path: Bytes): number =>
  check(opened(root, path, O_WRONLY,
    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS), "openat2", shown(path))

/** The path of an open directory below an open root, as the kernel has it: `""` is the root. */
export const pathBeneath = (root: number, fd: number): Bytes | null => {
  const top = linkOf(root)
  const path = linkOf(fd)
  if (path === top) return ""
  const prefix = top === "/" ? "/" : `${top}/`
  return path.startsWith(prefix) ? path.slice(prefix.length) : null
}

const linkOf = (fd: number): Bytes => readLinkAt(AT_FDCWD, `/proc/self/fd/${fd}`)

/** Creates a file for writing, or answers -1 if there is something of that name. Mode 0600. */
export const createAt = (dir: number, name: Bytes): number => exists(
  libc.openat(dir, cstring(name, "open"),
    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600), "open", name)

/** Opens a directory that is no symlink; answers -1 if `name` is something else. */
export const openDirectoryAt = (dir: number, name: Bytes): number => {
  const fd = libc.openat(dir, cstring(name, "open"),
    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0)
  if (fd < 0 && (isErrno("ENOTDIR") || isErrno("ELOOP"))) return -1
  return check(fd, "open", shown(name))
}

/** Of a call that makes something: its answer, or -1 for EEXIST. */
const exists = (result: number, call: string, name: Bytes): number =>
  result < 0 && isErrno("EEXIST") ? -1 : check(result, call, shown(name))

/** Makes a directory; -1 if there is something of that name. */
export const mkdirAt = (dir: number, name: Bytes, mode: number): number =>
  exists(libc.mkdirat(dir, cstring(name, "mkdir"), mode), "mkdir", name)

/** Makes a directory of the engine's own with exactly this mode; one that is there is fine. */
export const makeAt = (dir: number, name: Bytes, mode: number): void => {
  mkdirAt(dir, name, mode)
  chmodAt(dir, name, mode)
}

/** Makes a symlink; -1 if there is something of that name. */
export const symlinkAt = (dir: number, name: Bytes, target: Bytes): number =>
  exists(libc.symlinkat(cstring(target, "symlink", scratch2), dir, cstring(name, "symlink")),
    "symlink", name)

/** Makes a hard link to what `fromName` is, symlinks not followed; -1 if `name` is taken. */
export const linkAt = (from: number, fromName: Bytes, dir: number, name: Bytes): number =>
  exists(libc.linkat(from, cstring(fromName, "link", scratch2), dir, cstring(name, "link"), 0),
    "link", name)

const S_IFMT = { character: 0o020000, block: 0o060000, fifo: 0o010000 }

/** Makes a device node or a FIFO with mode 0600; -1 if there is something of that name. */
export const mknodAt = (
  dir: number, name: Bytes, kind: keyof typeof S_IFMT, major = 0, minor = 0,
): number => exists(libc.mknodat(dir, cstring(name, "mknod"), S_IFMT[kind] | 0o600,
  deviceNumber(major, minor)), "mknod", name)

/** glibc's gnu_dev_makedev. */
const deviceNumber = (major: number, minor: number): bigint => {
  const [high, low] = [BigInt(major), BigInt(minor)]
  return (high & 0xfffff000n) << 32n | (high & 0xfffn) << 8n |
    (low & 0xffffff00n) << 12n | low & 0xffn
}

/** Renames within a file system; replaces what can be replaced. */
export const renameAt = (from: number, fromName: Bytes, dir: number, name: Bytes): void => {
  check(libc.renameat(from, cstring(fromName, "rename", scratch2), dir, cstring(name, "rename")),
    "rename", shown(fromName))
}

export const chownAt = (dir: number, name: Bytes, uid: number, gid: number): void => {
  check(libc.fchownat(dir, cstring(name, "chown"), uid, gid, AT_SYMLINK_NOFOLLOW),
    "chown", shown(name))
}

/** Follows symlinks: only for what was just made, and is none. */
export const chmodAt = (dir: number, name: Bytes, mode: number): void => {
  check(libc.fchmodat(dir, cstring(name, "chmod"), mode, 0), "chmod", shown(name))
}

export const chown = (fd: number, uid: number, gid: number): void => {
  check(libc.fchown(fd, uid, gid), "chown", `fd ${fd}`)
}

export const chmod = (fd: number, mode: number): void => {
  check(libc.fchmod(fd, mode), "chmod", `fd ${fd}`)
}

/** A point in time as the kernel keeps it. */
export interface Time {
  readonly seconds: number
  readonly nanoseconds: number
}

const times = Buffer.alloc(32)
const bothTimes = ({ seconds, nanoseconds }: Time): Buffer => {
  for (const at of [0, 16]) {
    times.writeBigInt64LE(BigInt(seconds), at)
    times.writeUInt32LE(nanoseconds, at + 8)
  }
  return times
}

/** Sets mtime and atime of an open file or directory. */
export const setTimes = (fd: number, time: Time): void => {
  check(libc.futimens(fd, bothTimes(time)), "futimens", `fd ${fd}`)
}

/** Sets mtime and atime of a name, which may be a symlink. */
export const setTimesAt = (dir: number, name: Bytes, time: Time): void => {
  check(libc.utimensat(dir, cstring(name, "utimensat"), bothTimes(time), AT_SYMLINK_NOFOLLOW),
    "utimensat", shown(name))
}

/** Sets an extended attribute of an open file; answers the errno's name if it is refused. */
export const setXattr = (fd: number, key: Bytes, value: Bytes): string | null =>
  refusal(() => check(libc.fsetxattr(fd, cstring(key, "setxattr"), valueOf(value), value.length, 0),
    "setxattr", shown(key)))

/** The same for a name, which may be a symlink or a device. */
export const setXattrAt = (dir: number, name: Bytes, key: Bytes, value: Bytes): string | null =>
  refusal(() => check(libc.lsetxattr(cstring(`/proc/self/fd/${dir}/${name}`, "setxattr", scratch2),
    cstring(key, "setxattr"), valueOf(value), value.length, 0), "setxattr", shown(key)))

const valueOf = (value: Bytes): Buffer => value === "" ? NOTHING : Buffer.from(value, "latin1")

const refusal = (attempt: () => number): string | null => {
  try {
    attempt()
    return null
  } catch (error) {
    if (error instanceof Errno && ["ENOTSUP", "EOPNOTSUPP", "EPERM"].includes(error.code)) {
      return error.code
    }
    throw error
  }
}

const linkBuffer = Buffer.allocUnsafeSlow(PATH_MAX + 1)
/** The target of a symlink. */
export const readLinkAt = (dir: number, name: Bytes): Bytes => linkBuffer.toString("latin1", 0,
  check(libc.readlinkat(dir, cstring(name, "readlink"), linkBuffer, linkBuffer.length),
    "readlink", shown(name)))

/** Removes a name that is no directory; false if there was none. */
export const unlinkAt = (dir: number, name: Bytes): boolean => {
  const result = libc.unlinkat(dir, cstring(name, "unlink"), 0)
  if (result < 0 && isErrno("ENOENT")) return false
  check(result, "unlink", shown(name))
  return true
}

/** Removes an empty directory. */
export const rmdirAt = (dir: number, name: Bytes): void => {
  check(libc.unlinkat(dir, cstring(name, "rmdir"), AT_REMOVEDIR), "rmdir", shown(name))
}

/** What a directory holds: names, and whether each is itself a directory (no symlink to one). */
export const namesIn = (dir: number): { readonly name: Bytes; readonly directory: boolean }[] =>
  fs.readdirSync(`/proc/self/fd/${dir}`, { encoding: "buffer", withFileTypes: true })
    .map((entry) => ({ name: entry.name.toString("latin1"), directory: entry.isDirectory() }))

export const close = (fd: number): void => fs.closeSync(fd)

/** Writes all of `bytes` from `start` to `end` at `position`. */
export const writeAt = (
  fd: number, bytes: Buffer, start: number, end: number, position: number,
): void => {
  for (let at = start; at < end;) {
    at += fs.writeSync(fd, bytes, at, end - at, position + at - start)
  }
}

/** Reads up to `buffer.length` bytes at `position`; answers how many there were. */
export const readAt = (fd: number, buffer: Buffer, position: number): number => {
  let length = 0
  while (length < buffer.length) {
    const got = fs.readSync(fd, buffer, length, buffer.length - length, position + length)
    if (got === 0) break
    length += got
  }
  return length
}

export const truncate = (fd: number, length: number): void => fs.ftruncateSync(fd, length)

export const sizeOf = (fd: number): number => fs.fstatSync(fd).size

/**
 * Opens (and with `create` makes) a plain file of the engine's own, by a name in an open
 * directory.
 */
export const openAt = (dir: number, name: Bytes, create: boolean): number =>
  check(libc.openat(dir, cstring(name, "open"),
    fs.constants.O_RDWR | O_NOFOLLOW | O_CLOEXEC | (create ? O_CREAT : 0), 0o600),
  "open", shown(name))

/**
 * Takes a lock on an open file or directory (flock(2)); it lives until every copy of the descriptor
 * is closed. With `wait` false: answers false if somebody else holds it.
 */
export const lock = (fd: number, mode: "shared" | "exclusive", wait: boolean): boolean => {
  const result = libc.flock(fd, (mode === "shared" ? 1 : 2) | (wait ? 0 : 4))
  if (result < 0 && errno() === koffi.os.errno["EAGAIN"]) return false // also called EWOULDBLOCK
  check(result, "flock", `fd ${fd}`)
  return true
}
