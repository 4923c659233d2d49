import {
  chmodAt, close, createAt, mkdirAt, openDirectoryAt, openInRoot, openRoot, symlinkAt,
} from "./files.ts"

const DIRECTORY_MODE = 0o755
const FILE_MODE = 0o755

/**
 * Puts into a mounted root file system what programs look for to see that they are in a container,
 * `/.dockerenv`, and what old ones read mounts from, `/etc/mtab`. What is there already stays.
 */
export const furnish = (rootfs: string): void => {
  const root = openRoot(rootfs)
  try {
    const file = createAt(root, ".dockerenv")
    if (file >= 0) {
      close(file)
      chmodAt(root, ".dockerenv", FILE_MODE)
    }
    mkdirAt(root, "etc", DIRECTORY_MODE)
    const etc = openEtc(root)
    if (etc === null) return
    symlinkAt(etc, "mtab", "/proc/mounts")
    close(etc)
  } finally {
    close(root)
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
