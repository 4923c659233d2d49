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

/**
 * Refuses to go on when less than the reserve is free to those without privilege: root's own
 * writes would only fail when nothing is left, and everybody's with them.
 */
export const ensureSpace = (directory: string): void => {
  const { bytes, reserveBytes, files, reserveFiles } = freeSpace(directory)
  if (bytes < reserveBytes) {
    throw noSpace(`${mebibytes(bytes)} free, ${mebibytes(reserveBytes)} are kept in reserve`)
  }
  if (files !== null && files < reserveFiles) {
    throw noSpace(`${files} inodes free, ${Math.ceil(reserveFiles)} are kept in reserve`)
  }
}

const noSpace = (cause: string) =>
  new PullFault({
    reason: "noSpace",
    cause: `no space left on device: ${cause}; remove images or containers that are not needed`,
  })

const mebibytes = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)} MiB`
