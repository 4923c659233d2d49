import {
  chmodAt, close, createAt, mkdirAt, openDirectoryAt, openInRoot, openRoot, symlinkAt,
} from "./files.ts"
import type { Bytes } from "./files.ts"

const DIRECTORY_MODE = 0o755
const FILE_MODE = 0o755

/**
 * Puts into a mounted root file system what programs look for to see that they are in a container,
 * `/.dockerenv`, what old ones read mounts from, `/etc/mtab`, and these folders, with all above
 * them. What is there already stays.
 */
export const furnish = (rootfs: string, folders: readonly string[]): void => {
  const root = openRoot(rootfs)
  try {
    const file = createAt(root, ".dockerenv")
    if (file >= 0) {
      close(file)
      chmodAt(root, ".dockerenv", FILE_MODE)
    }
    for (const path of folders) makeFolder(root, Buffer.from(path).toString("latin1"))
    mkdirAt(root, "etc", DIRECTORY_MODE)
    const etc = openEtc(root)
    if (etc === null) return
    symlinkAt(etc, "mtab", "/proc/mounts")
    close(etc)
  } finally {
    close(root)
  }
}

/** Makes a directory where a process in there would find it: links stay inside. */
const makeFolder = (root: number, path: Bytes): void => {
  const names = path.split("/").filter((name) => name !== "")
  for (const [index, name] of names.entries()) {
    const parent = openInRoot(root, names.slice(0, index).join("/") || ".")
    try {
      mkdirAt(parent, name, DIRECTORY_MODE)
    } finally {
      close(parent)
    }
  }
}

/** The image may have made anything of it: what is no directory, or leads nowhere, is left. */
const openEtc = (root: number): number | null => {
  try {
    const plain = openDirectoryAt(root, "etc")
    return plain < 0 ? openInRoot(root, "etc") : plain
  } catch {
    return null
  }
}
