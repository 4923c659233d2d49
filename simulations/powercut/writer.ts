import { closeSync, fsyncSync, openSync, writeSync } from "node:fs"
import { join } from "node:path"

/**
 * A plain program to prove the rig on: writes one file after another into a directory and says on
 * stdout when one is kept, `3\n` for `file-3`. With `fsync` it keeps its word (file, then
 * directory); without, it is the careless program that a power cut is known to punish.
 *
 *   node writer.ts DIRECTORY fsync|careless
 */
export const SIZE = 20_000

/** What `file-n` holds: its number, again and again. */
export const content = (n: number): Buffer => Buffer.alloc(SIZE, `${n} `)

const main = (directory: string, careful: boolean): void => {
  const folder = openSync(directory, "r")
  for (let n = 0;; n++) {
    const file = openSync(join(directory, `file-${n}`), "wx")
    writeSync(file, content(n))
    if (careful) fsyncSync(file)
    closeSync(file)
    if (careful) fsyncSync(folder)
    writeSync(1, `${n}\n`)
    if (!careful) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
  }
}

if (import.meta.main) main(process.argv[2] ?? ".", process.argv[3] === "fsync")
