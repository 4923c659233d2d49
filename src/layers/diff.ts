import {
  chmod, chmodAt, chown, chownAt, close, createAt, linkAt, mkdirAt, mknodAt, openBeneath,
  openDirectoryAt, openFileBeneath, openInRoot, pathBeneath, renameAt, setTimes, setTimesAt,
  setXattr, setXattrAt, shown, symlinkAt, unlinkAt,
} from "../kernel/files.ts"
import type { Bytes } from "../kernel/files.ts"
import { Errno, isErrno } from "../kernel/libc.ts"
import { damaged, hostile } from "./faults.ts"
import { join, nameOf, parentOf } from "./paths.ts"
import type { TarEntry } from "./tar.ts"

/** An open directory, and its path below `diff/` with symlinks resolved. */
interface Directory {
  readonly fd: number
  readonly path: Bytes
}

/** Tars go through a tree in order, so few directories are in use at once. */
const OPEN_MAX = 32

/** An entry that took the place of something: the old object is `shadow/<entry>`. */
export interface Moved {
  readonly entry: number
  readonly path: Bytes
}

/**
 * `diff/` of a layer while it is made: each method makes one object and answers its path, with
 * symlinks in its parents resolved. Parents are looked up by the kernel, confined to `diff/`; the
 * last part of a path is never followed. Missing parents are made, 0755 root. What an entry
 * replaces is moved to `shadow/`, beside a symlink that tells where it was, so that it can be
 * moved back.
 */
export class Diff {
  readonly moves: Moved[] = []
  readonly #diff: number
  readonly #shadow: number
  readonly #open = new Map<Bytes, Directory>()
  readonly #entryNumber: () => number

  /** `diff`, `shadow`: open directories, closed by `close`; `entryNumber`: the current entry's. */
  constructor(diff: number, shadow: number, entryNumber: () => number) {
    this.#diff = diff
    this.#shadow = shadow
    this.#entryNumber = entryNumber
  }

  /** Creates a file, empty and 0600, for writing. */
  createFile(path: Bytes): { readonly fd: number; readonly path: Bytes } {
    let fd = -1
    const made = this.#make(path, (at, name) => fd = createAt(at, name))
    return { fd, path: made }
  }

  /** Opens a file made before a crash. `path` as answered then. */
  reopenFile(path: Bytes): number {
    return openFileBeneath(this.#diff, path)
  }

  /** Gives a written file its metadata: owner before mode and capabilities, which chown clears. */
  finishFile(fd: number, entry: TarEntry): void {
    chown(fd, entry.uid, entry.gid)
    chmod(fd, entry.mode)
    for (const [key, value] of applied(entry)) refused(entry, key, setXattr(fd, key, value))
    setTimes(fd, entry.mtime)
  }

  /** A directory; one that is there keeps what it holds. Its mtime is set at the very end. */
  directory(path: Bytes, entry: TarEntry): Bytes {
    const parent = this.#directory(parentOf(path), true)
    const name = nameOf(path)
    const real = join(parent.path, name)
    let fd = -1
    if (mkdirAt(parent.fd, name, 0o700) < 0) {
      fd = openDirectoryAt(parent.fd, name)
      if (fd < 0) this.#make(path, (at, name) => mkdirAt(at, name, 0o700))
    }
    if (fd < 0) fd = openDirectoryAt(this.#directory(parentOf(path), true).fd, name)
    this.#keep(real, { fd, path: real })
    chown(fd, entry.uid, entry.gid)
    chmod(fd, entry.mode)
    for (const [key, value] of applied(entry)) refused(entry, key, setXattr(fd, key, value))
    return real
  }

  symlink(path: Bytes, entry: TarEntry): Bytes {
    const made = this.#make(path, (at, name) => symlinkAt(at, name, entry.link))
    this.#dress(made, entry, false)
    return made
  }

  /** A device node or a FIFO. */
  node(path: Bytes, entry: TarEntry): Bytes {
    const kind = entry.type as "character" | "block" | "fifo"
    const made = this.#make(path, (at, name) => mknodAt(at, name, kind, entry.major, entry.minor))
    this.#dress(made, entry, true)
    return made
  }

  /** A hard link; its metadata are those of the file it links to. */
  link(path: Bytes, target: Bytes): Bytes {
    if (target === "") throw damaged(`the layer's hard link ${shown(path)} is to its root`)
    return this.#make(path, (at, name) => {
      try {
        return linkAt(this.#directory(parentOf(target), false).fd, nameOf(target), at, name)
      } catch (error) {
        const why = error instanceof Errno ? UNLINKABLE[error.code] : undefined
        if (why === undefined) throw error
        throw damaged(`the layer's hard link ${shown(path)} is to ${shown(target)}, ${why}`)
      }
    })
  }

  /** A name that hides what lower layers have under it: a 0/0 device (overlayfs). */
  whiteout(path: Bytes, entry: TarEntry): Bytes {
    const made = this.#make(path, (at, name) => mknodAt(at, name, "character"))
    const { fd } = this.#directory(parentOf(made), false)
    chownAt(fd, nameOf(made), entry.uid, entry.gid)
    setTimesAt(fd, nameOf(made), entry.mtime)
    return made
  }

  /** A directory that hides what lower layers have in it. */
  opaque(path: Bytes): Bytes {
    const { fd, path: real } = this.#directory(path, true)
    const refusal = setXattr(fd, "trusted.overlay.opaque", "y")
    if (refusal !== null) throw new Errno("setxattr", "trusted.overlay.opaque", ENOTSUP)
    return real
  }

  /** Sets a directory's mtime, if `path` is one in the end. */
  setDirectoryTime(path: Bytes, entry: TarEntry): void {
    let fd = -1
    try {
      fd = openBeneath(this.#diff, path)
    } catch (error) {
      if (!(error instanceof Errno) || error.code !== "ENOTDIR") throw error
    }
    if (fd < 0) return
    try {
      setTimes(fd, entry.mtime)
    } finally {
      close(fd)
    }
  }

  /** Closes all that is open. */
  close(): void {
    this.#closeOpen()
    close(this.#diff)
    close(this.#shadow)
  }

  /** Makes one object by `make`, which answers -1 if there is something of that name. */
  #make(path: Bytes, make: (at: number, name: Bytes) => number): Bytes {
    const name = nameOf(path)
    if (name === "") throw hostile("the layer replaces its own root")
    const parent = this.#directory(parentOf(path), true)
    const real = join(parent.path, name)
    if (make(parent.fd, name) < 0) {
      this.#replace(parent.fd, name, real)
      if (make(this.#directory(parentOf(path), true).fd, name) < 0) {
        throw new Errno("create", shown(real), EEXIST)
      }
    }
    return real
  }

  #replace(at: number, name: Bytes, real: Bytes): void {
    const entry = this.#entryNumber()
    const number = String(entry)
    // The note goes first: metadata reach the disk in order, so no move is without it after a cut.
    unlinkAt(this.#shadow, `${number}.path`)
    symlinkAt(this.#shadow, `${number}.path`, real)
    renameAt(at, name, this.#shadow, number)
    this.moves.push({ entry, path: real })
    this.#closeOpen()
  }

  /** Metadata of what has no descriptor. `real` was just made, so none of it is followed. */
  #dress(real: Bytes, entry: TarEntry, withMode: boolean): void {
    const { fd } = this.#directory(parentOf(real), false)
    const name = nameOf(real)
    chownAt(fd, name, entry.uid, entry.gid)
    if (withMode) chmodAt(fd, name, entry.mode)
    for (const [key, value] of applied(entry)) refused(entry, key, setXattrAt(fd, name, key, value))
    setTimesAt(fd, name, entry.mtime)
  }

  /**
   * The directory at `path`, as a process confined to `diff/` sees it; `make`: with missing
   * parts.
   */
  #directory(path: Bytes, make: boolean): Directory {
    const open = this.#open.get(path)
    if (open !== undefined) {
      this.#open.delete(path)
      this.#open.set(path, open)
      return open
    }
    const fd = openBeneath(this.#diff, path)
    const found = fd >= 0 ? { fd, path } : this.#found(path, make)
    this.#keep(path, found)
    return found
  }

  #found(path: Bytes, make: boolean): Directory {
    const parent = this.#directory(parentOf(path), make)
    const name = nameOf(path)
    const real = join(parent.path, name)
    const fd = openBeneath(parent.fd, name)
    if (fd >= 0) return { fd, path: real }
    if (isErrno("ELOOP")) return this.#followed(real)
    if (!make) throw new Errno("open", shown(path), ENOENT)
    mkdirAt(parent.fd, name, 0o755)
    const made = openDirectoryAt(parent.fd, name)
    // Neither the umask nor a setgid parent has a say.
    chown(made, 0, 0)
    chmod(made, 0o755)
    return { fd: made, path: real }
  }

  #followed(real: Bytes): Directory {
    const fd = openInRoot(this.#diff, real)
    const path = pathBeneath(this.#diff, fd)
    if (path !== null) return { fd, path }
    close(fd)
    throw hostile(`the layer's directory ${shown(real)} leads outside of its root`)
  }

  #keep(key: Bytes, directory: Directory): void {
    const before = this.#open.get(key)
    if (before !== undefined) close(before.fd)
    this.#open.delete(key)
    this.#open.set(key, directory)
    if (this.#open.size <= OPEN_MAX) return
    for (const [oldest, { fd }] of this.#open) {
      close(fd)
      this.#open.delete(oldest)
      return
    }
  }

  #closeOpen(): void {
    for (const { fd } of this.#open.values()) close(fd)
    this.#open.clear()
  }
}

const [ENOENT, EEXIST, ENOTSUP] = [2, 17, 95]

const UNLINKABLE: Readonly<Record<string, string>> = {
  ENOENT: "which is not there", EPERM: "which cannot be linked to",
}

/**
 * The attributes that are applied. overlayfs would believe its own (redirects, opacity) whoever
 * wrote them, so an archive's are kept in the index only.
 */
const applied = (entry: TarEntry): TarEntry["xattrs"] => entry.xattrs.length === 0
  ? entry.xattrs
  : entry.xattrs.filter(([key]) =>
    !key.startsWith("trusted.overlay.") && !key.startsWith("user.overlay."))

/**
 * An attribute that the file system cannot keep is let go, as Docker does; but a program without
 * its capabilities would fail later, and nobody would know why.
 */
const refused = (entry: TarEntry, key: Bytes, code: string | null): void => {
  if (code !== null && key === "security.capability") {
    throw new Errno("setxattr security.capability", shown(entry.path), ENOTSUP)
  }
}
