import { closeSync, fsyncSync, openSync, writeSync } from "node:fs"
import { join } from "node:path"
import { median } from "./figure.ts"

const WRITES = 300
const BYTES = 4096

/**
 * Median of appending 4 KiB to a file in this directory and having it on the disk, milliseconds.
 */
export const fsyncMs = (directory: string): number => {
  const file = openSync(join(directory, "fsync"), "wx")
  try {
    return median(Array.from({ length: WRITES }, () => {
      const began = performance.now()
      writeSync(file, Buffer.alloc(BYTES, 1))
      fsyncSync(file)
      return performance.now() - began
    }))
  } finally {
    closeSync(file)
  }
}
