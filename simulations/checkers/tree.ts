import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { readLinkAt } from "../../src/kernel/files.ts"
import { bind, check } from "../../src/kernel/libc.ts"

export interface ListingOptions {
  /** Tell the mtime of this one? What no entry of a tar named got its own by chance. */
  readonly times?: (path: string, directory: boolean) => boolean
  /** Tell the digest of each file? */
  readonly contents?: boolean
}

/**
 * What a tree is, entry by entry: type, mode, owner, mtime, size and digest of the content, target,
 * number of links, device and extended attributes. Paths are latin1.
 */
export function listing(
  root: string, { times = () => true, contents = true }: ListingOptions = {},
): Readonly<Record<string, string>> {
  const found: Record<string, string> = {}
  const inodes = new Map<number, string>()
  const visit = (path: string): void => {
    const full = Buffer.from(`${Buffer.from(root).toString("latin1")}/${path}`, "latin1")
    const stat = fs.lstatSync(full, { bigint: true })
    const parts: unknown[] = [stat.mode.toString(8), stat.uid, stat.gid]
    if (path !== "" && times(path, stat.isDirectory())) parts.push(stat.mtimeNs)
    if (stat.isFile()) parts.push(stat.size)
    if (stat.isFile() && contents) {
      parts.push(createHash("sha256").update(fs.readFileSync(full)).digest("hex"))
    }
    if (stat.isCharacterDevice() || stat.isBlockDevice()) parts.push(stat.rdev)
    if (stat.isSymbolicLink()) parts.push(readLinkAt(-100, full.toString("latin1")))
    if (!stat.isDirectory()) {
      // Links to the same file, by the first name of it.
      const first = inodes.get(Number(stat.ino)) ?? path
      inodes.set(Number(stat.ino), first)
      parts.push(stat.nlink, first)
    }
    found[path] = [...parts, ...attributesOf(full)].join(" ")
    if (!stat.isDirectory()) return
    for (const name of fs.readdirSync(full, { encoding: "latin1" }).toSorted()) {
      visit(path === "" ? name : `${path}/${name}`)
    }
  }
  visit("")
  return found
}

const list = bind("int64_t llistxattr(const void *path, void *names, size_t size)")
const get = bind("int64_t lgetxattr(const void *path, const void *name, void *value, size_t size)")

/** The extended attributes of a path, sorted. */
export function attributesOf(path: Buffer | string): readonly string[] {
  const full = Buffer.concat([Buffer.from(path as string), Buffer.alloc(1)])
  const buffer = Buffer.alloc(64 << 10)
  const names = buffer.toString("latin1", 0, check(list(full, buffer, buffer.length), "list", ""))
  return names.split("\0").filter((name) => name !== "").toSorted().map((name) => {
    const length = get(full, Buffer.from(`${name}\0`, "latin1"), buffer, buffer.length)
    return `${name}=${buffer.toString("hex", 0, check(length, "get", name))}`
  })
}

const map =
  bind("void *mmap(void *at, size_t length, int protection, int flags, int fd, int64_t offset)")
const incore = bind("int mincore(void *at, size_t length, void *pages)")
const unmap = bind("int munmap(void *at, size_t length)")

/** How many pages of a file are in the page cache. */
export function cachedPages(path: string): number {
  const { size } = fs.statSync(path)
  if (size === 0) return 0
  const fd = fs.openSync(path, "r")
  const [PROT_READ, MAP_SHARED] = [1, 1]
  const at = map(null, size, PROT_READ, MAP_SHARED, fd, 0)
  fs.closeSync(fd)
  const pages = Buffer.alloc(Math.ceil(size / 4096))
  check(incore(at, size, pages), "mincore", path)
  check(unmap(at, size), "munmap", path)
  return pages.filter((page) => (page & 1) === 1).length
}
