import { bind, isErrno } from "./libc.ts"

/** The number of openat2 on every architecture (it is newer than their unification). */
const SYS_OPENAT2 = 437
const O_CLOEXEC = 0o2000000

export const RESOLVE_NO_MAGICLINKS = 0x02
export const RESOLVE_NO_SYMLINKS = 0x04
export const RESOLVE_BENEATH = 0x08
export const RESOLVE_IN_ROOT = 0x10

/** Each fails only if something is renamed or mounted in the very microseconds that it takes. */
const TRIES = 1_000

const syscall = bind(
  "long syscall(long number, int directory, const void *path, const void *how, size_t size)")
const how = Buffer.alloc(24) // struct open_how: u64 flags, mode, resolve

/**
 * Opens `path`, which ends with a zero byte, below an open directory; answers the descriptor, or a
 * negative number (`errno` tells why). A path with `..` in it, or in a symlink of it, is refused
 * with EAGAIN where anything on the machine is renamed or mounted meanwhile: it is tried again.
 * openat2(2).
 */
export const openat2 = (
  directory: number, path: Buffer, flags: number, resolve: number,
): number => {
  how.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0)
  how.writeBigUInt64LE(BigInt(resolve), 16)
  for (let tries = 1;; tries++) {
    const fd = Number(syscall(SYS_OPENAT2, directory, path, how, how.length))
    if (fd >= 0 || tries === TRIES || !isErrno("EAGAIN") && !isErrno("EINTR")) return fd
  }
}
