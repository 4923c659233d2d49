import { freeSpace } from "../kernel/flush.ts"
import { PullFault } from "./carrier.ts"
import type { Extraction } from "./extract.ts"
import { faultOf } from "./faults.ts"
import { shortage } from "./space.ts"

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

/** Refuses to go on when there is no more room than is kept in reserve. */
export const ensureSpace = (directory: string): void => {
  const cause = shortage(freeSpace(directory), 0)
  if (cause !== null) throw new PullFault({ reason: "noSpace", cause })
}
