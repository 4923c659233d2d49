import { closeSync, fstatSync, openSync, readSync, rmdirSync } from "node:fs"
import { bind, check, errno, Errno, isErrno } from "./libc.ts"
import { openat2, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS } from "./openat2.ts"
import { raised } from "./spawn.ts"

const mount = bind(
  "int mount(const char *source, const char *target, const char *type, unsigned long flags, " +
    "const char *data)",
)
const umount2 = bind("int umount2(const char *target, int flags)")

const O_PATH = 0o10000000
const O_CLOEXEC = 0o2000000
const O_NONBLOCK = 0o4000
const O_NOCTTY = 0o400
const MS_NOSUID = 2
const MS_NODEV = 4
const MS_NOEXEC = 8
const MNT_DETACH = 2
const UMOUNT_NOFOLLOW = 8
/** The kernel takes one page of options, its ending zero included. */
const OPTIONS_MAX = 4095

export interface Overlay {
  /** Uppermost first; none: an empty root file system. */
  readonly lower: readonly string[]
  readonly upper: string
  readonly work: string
  readonly target: string
}

/**
 * Mounts an overlay. The features that would let a crafted layer redirect or alias files are off.
 * Where the paths are too many for a page, or hold what the option's syntax uses, they are named as
 * `/proc/self/fd/N`: 200 layers fit, whatever their paths. overlayfs.rst, mount(2).
 */
export const mountOverlay = (overlay: Overlay): void => {
  const plain = optionsOf(overlay, (path) => path)
  const opened: number[] = []
  try {
    const fits = Buffer.byteLength(plain) <= OPTIONS_MAX && !hasSyntax(overlay)
    const options = fits ? plain : optionsOf(overlay, (path) => {
      const descriptor = raised(openSync(path, O_PATH | O_CLOEXEC))
      opened.push(descriptor)
      return `/proc/self/fd/${descriptor}`
    })
    check(mount("overlay", overlay.target, "overlay", 0, options), "mount", overlay.target)
  } finally {
    for (const descriptor of opened) closeSync(descriptor)
  }
}

const optionsOf = ({ lower, upper, work }: Overlay, name: (path: string) => string): string =>
  `lowerdir=${lower.map(name).join(":")},upperdir=${name(upper)},workdir=${name(work)},` +
  "redirect_dir=off,metacopy=off,index=off"

const hasSyntax = ({ lower, upper, work }: Overlay): boolean =>
  [...lower, upper, work].some((path) => /[,:\\]/.test(path))

/** Mounts what a container shares as its /dev/shm, as dockerd does. tmpfs(5). */
export const mountShm = (target: string, bytes: number): void => {
  const flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
  check(mount("shm", target, "tmpfs", flags, `mode=1777,size=${bytes}`), "mount", target)
}

/**
 * Unmounts all that is mounted on a directory, then removes the directory, which also drops copies
 * of the mount in other namespaces. Success if there is nothing. A busy mount is detached: it ends
 * with its last user.
 *
 * Unmounting an overlay writes back the whole file system below it, which may take seconds: it runs
 * in libuv's pool, whose threads never leave the host's mount namespace.
 */
export const unmount = (target: string, done: (failure: Errno | null) => void): void => {
  detach(target, UMOUNT_NOFOLLOW, done)
}

const detach = (target: string, flags: number, done: (failure: Errno | null) => void): void => {
  umount2.async(target, flags, (error: Error | null, result: number) => {
    if (error !== null) throw error
    if (result === 0) return detach(target, UMOUNT_NOFOLLOW, done)
    if (isErrno("EBUSY") && (flags & MNT_DETACH) === 0) {
      return detach(target, UMOUNT_NOFOLLOW | MNT_DETACH, done)
    }
    // EINVAL: nothing is mounted here (any more). ENOENT: not even the directory is left.
    if (!isErrno("EINVAL") && !isErrno("ENOENT")) return done(new Errno("umount2", target, errno()))
    try {
      rmdirSync(target)
      done(null)
    } catch (error) {
      const failure = error as NodeJS.ErrnoException
      done(failure.code === "ENOENT" ? null : new Errno("rmdir", target, -(failure.errno ?? 0)))
    }
  })
}

const READ_MAX = 1 << 20

/**
 * Reads a regular file of a root file system as a process inside would name it: no link in it can
 * lead outside. At most 1 MiB. Null: there is no such file. openat2(2).
 */
export const readInRoot = (root: string, path: string): string | null => {
  const top = openSync(root, O_PATH | O_CLOEXEC)
  let descriptor = -1
  try {
    descriptor = openat2(top, Buffer.from(`${path}\0`), O_NONBLOCK | O_NOCTTY,
      RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    if (descriptor < 0) return null
    if (!fstatSync(descriptor).isFile()) return null
    const bytes = Buffer.alloc(Math.min(fstatSync(descriptor).size, READ_MAX))
    return bytes.toString("utf8", 0, readSync(descriptor, bytes, 0, bytes.length, 0))
  } finally {
    closeSync(top)
    if (descriptor >= 0) closeSync(descriptor)
  }
}
