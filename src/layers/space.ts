import type { FreeSpace } from "../kernel/flush.ts"

const RESERVE_BYTES = 32 << 20
const RESERVE_SHARE = 0.02

/** What a person can do about a full disk. */
export const ADVICE = "remove images or containers that are not needed"

const mebibytes = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)} MiB`

/**
 * What stands in the way of writing `bytes` more, in words; null: nothing. Some of the disk stays
 * free: the engine's database and the containers need it, and root's writes would only fail when
 * nothing at all is left.
 */
export const shortage = (free: FreeSpace, bytes: number): string | null => {
  const reserve = Math.max(RESERVE_BYTES, RESERVE_SHARE * free.totalBytes)
  if (free.bytes - bytes < reserve) {
    const needed = bytes === 0 ? "" : `at least ${mebibytes(bytes)} are needed, `
    return `the disk is nearly full: ${needed}${mebibytes(free.bytes)} free, ` +
      `${mebibytes(reserve)} are kept in reserve; ${ADVICE}`
  }
  if (free.files !== null && free.files < RESERVE_SHARE * free.totalFiles) {
    return `the disk is nearly full: ${free.files} of ${free.totalFiles} inodes free, ` +
      `${RESERVE_SHARE * 100} % are kept in reserve; ${ADVICE}`
  }
  return null
}
