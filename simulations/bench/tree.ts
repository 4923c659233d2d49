import { existsSync, lstatSync, readdirSync } from "node:fs"
import { join } from "node:path"

/** What extracted layers take on the disk. */
export interface Extent {
  /** Allocated bytes, as du counts them. */
  readonly bytes: number
  /** Names, hard links among them. */
  readonly entries: number
}

/** The layers below a data root: both engines keep each in `overlay2/<id>/diff`. */
export const extractedIn = (dataRoot: string): Extent => {
  const overlay = join(dataRoot, "overlay2")
  const seen = new Set<number>()
  const total = { bytes: 0, entries: 0 }
  const count = (path: string): void => {
    const { ino, blocks } = lstatSync(path)
    total.entries += 1
    if (!seen.has(ino)) total.bytes += blocks * 512
    seen.add(ino)
  }
  // Not readdir's own recursion: that follows links out of the tree.
  const walk = (directory: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name)
      count(path)
      if (entry.isDirectory()) walk(path)
    }
  }
  for (const diff of readdirSync(overlay).map((id) => join(overlay, id, "diff"))) {
    if (!existsSync(diff)) continue
    count(diff)
    walk(diff)
  }
  return total
}
