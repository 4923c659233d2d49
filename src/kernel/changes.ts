import type { Stats } from "node:fs"
import { lstat, readdir } from "node:fs/promises"
import { join } from "node:path"
import { bind } from "./libc.ts"

/** What became of a path since the container was made. */
export interface Change {
  /** As the container sees it. */
  readonly path: string
  readonly kind: "changed" | "added" | "removed"
}

const lgetxattr = bind(
  "int64_t lgetxattr(const char *path, const char *name, _Out_ void *value, size_t size)",
)
const isOpaque = (path: string): boolean =>
  lgetxattr(path, "trusted.overlay.opaque", Buffer.alloc(8), 8) > 0
const isWhiteout = (stats: Stats): boolean => stats.isCharacterDevice() && stats.rdev === 0

/** null: it is not there, or not any more. */
const statsOf = async (path: string): Promise<Stats | null> => {
  try {
    return await lstat(path)
  } catch {
    return null
  }
}

const namesIn = async (path: string): Promise<readonly string[]> => {
  try {
    return await readdir(path)
  } catch {
    return []
  }
}

/** What lies below the upper directory at one place: its stats, and the directories it merges. */
interface Below {
  readonly stats: Stats | null
  readonly directories: readonly string[]
}

/** Looks a name up in merged directories, uppermost first, as overlayfs does. */
const lookUp = async (directories: readonly string[], name: string): Promise<Below> => {
  let first: Stats | null = null
  const merged: string[] = []
  for (const directory of directories) {
    const path = join(directory, name)
    const stats = await statsOf(path)
    if (stats === null) continue
    if (isWhiteout(stats)) break
    if (first !== null && !stats.isDirectory()) break
    first ??= stats
    if (!stats.isDirectory()) break
    merged.push(path)
    if (isOpaque(path)) break
  }
  return { stats: first, directories: merged }
}

/** A file that was only copied up is the same; of a directory its contents speak for themselves. */
const isSame = (now: Stats, before: Stats): boolean =>
  now.mode === before.mode && now.uid === before.uid && now.gid === before.gid
  && now.rdev === before.rdev
  && (now.isDirectory() || (now.size === before.size && now.mtimeMs === before.mtimeMs))

/**
 * What a start makes in every container: places to mount on. Docker keeps them in a layer of their
 * own below the container's, so they are none of its changes unless something was put there.
 */
const MADE = new Set([
  "/dev", "/dev/console", "/dev/mqueue", "/dev/pts", "/dev/shm", "/etc/hostname", "/etc/hosts",
  "/etc/mtab", "/etc/resolv.conf", "/proc", "/sbin/docker-init", "/sys", "/.dockerenv",
])

/**
 * What a container has changed of its image: walks its overlay's upper directory beside the lower
 * ones (uppermost first). A directory in which something changed counts as changed, as in Docker.
 */
export const changesIn = (upper: string, lower: readonly string[]): Promise<readonly Change[]> =>
  changesBelow(upper, "", lower)

const changesBelow = async (
  upper: string,
  place: string,
  lower: readonly string[],
): Promise<readonly Change[]> => {
  const changes: Change[] = []
  const names = await namesIn(upper)
  for (const name of names) {
    const [path, at] = [`${place}/${name}`, join(upper, name)]
    const now = await statsOf(at)
    if (now === null) continue
    const before = await lookUp(lower, name)
    if (isWhiteout(now)) {
      if (before.stats !== null) changes.push({ path, kind: "removed" })
      continue
    }
    const replaced = now.isDirectory() && isOpaque(at)
    const inside = now.isDirectory()
      ? await changesBelow(at, path, replaced ? [] : before.directories)
      : []
    const gone = replaced ? await removedFrom(at, path, before) : []
    if (before.stats === null) {
      const isEmpty = now.isDirectory()
        ? inside.length === 0
        : now.isSymbolicLink() || now.size === 0
      if (!MADE.has(path) || !isEmpty) changes.push({ path, kind: "added" })
    } else if (inside.length + gone.length > 0 || !isSame(now, before.stats)) {
      changes.push({ path, kind: "changed" })
    }
    changes.push(...inside, ...gone)
  }
  return changes
}

/** What a directory made anew has no longer. */
const removedFrom = async (
  upper: string,
  place: string,
  { directories }: Below,
): Promise<readonly Change[]> => {
  const now = new Set(await namesIn(upper))
  const before = new Set((await Promise.all(directories.map(namesIn))).flat())
  const changes: Change[] = []
  for (const name of before) {
    if (now.has(name)) continue
    const { stats } = await lookUp(directories, name)
    if (stats !== null) changes.push({ path: `${place}/${name}`, kind: "removed" })
  }
  return changes
}
