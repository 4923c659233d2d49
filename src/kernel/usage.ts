import { lstat, readdir } from "node:fs/promises"
import { join } from "node:path"

/** Bytes of the regular files below a directory, each counted once; 0 where there is none. */
export const bytesBelow = async (directory: string, seen = new Set<string>()): Promise<number> => {
  let names
  try {
    names = await readdir(directory, { withFileTypes: true })
  } catch {
    return 0 // it vanished under our hands
  }
  let bytes = 0
  for (const entry of names) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) bytes += await bytesBelow(path, seen)
    else if (entry.isFile()) bytes += await bytesOf(path, seen)
  }
  return bytes
}

const bytesOf = async (path: string, seen: Set<string>): Promise<number> => {
  try {
    const { dev, ino, nlink, size } = await lstat(path)
    if (nlink === 1) return size
    const key = `${dev}:${ino}`
    if (seen.has(key)) return 0
    seen.add(key)
    return size
  } catch {
    return 0
  }
}
