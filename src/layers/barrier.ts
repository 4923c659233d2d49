import { freeSpace } from "../kernel/flush.ts"
import { PullFault } from "./carrier.ts"
import type { Extraction } from "./extract.ts"
import { faultOf } from "./faults.ts"

/**
 * Makes everything that these extractions have written durable, and answers the state of each, in
 * order. The order is the promise: every file's content is on the disk, then each index (and on
 * ext4 and XFS, with its transaction, every name and attribute before it), and only then is there a
 * state that says so. All must be `stopped`, or never have been written to since their last state.
 */
export const barrier = (extractions: readonly Extraction[]): readonly Uint8Array[] => {
  try {
    for (const { directory } of extractions) ensureSpace(directory)
    for (const extraction of extractions) extraction.settle()
    for (const extraction of extractions) extraction.commit()
    return extractions.map((extraction) => extraction.state())
  } catch (error) {
    throw faultOf(error, "the layers' checkpoint")
  }
}

const RESERVE_BYTES = 32 << 20
const RESERVE_SHARE = 0.02

/**
 * Refuses to go on when less than the reserve is free to those without privilege: the engine's
 * database and the containers need it, and root's writes would only fail when nothing is left.
 */
export const ensureSpace = (directory: string): void => {
  const { bytes, totalBytes, files, totalFiles } = freeSpace(directory)
  const reserve = Math.max(RESERVE_BYTES, RESERVE_SHARE * totalBytes)
  if (bytes < reserve) {
    throw noSpace(`${mebibytes(bytes)} free, ${mebibytes(reserve)} are kept in reserve`)
  }
  if (files !== null && files < RESERVE_SHARE * totalFiles) {
    throw noSpace(`${files} of ${totalFiles} inodes free, ` +
      `${RESERVE_SHARE * 100} % are kept in reserve`)
  }
}

const noSpace = (cause: string) =>
  new PullFault({ reason: "noSpace", cause: `the disk is nearly full: ${cause}` })

const mebibytes = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)} MiB`
