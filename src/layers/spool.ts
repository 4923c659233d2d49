import * as Effect from "effect/Effect"
import { spool as spoolFile, SpoolFault } from "../kernel/spool.ts"
import { PullFault } from "./carrier.ts"

/**
 * Puts down what a client loads, as a plain tar in a new file at `path`, for `Carrier.inspect` and
 * the layers' archive sources: a whole that is gzip or zstd is decompressed on the way, as offsets
 * into it must mean something. Answers the file's length in bytes. The file is gone if this fails
 * or is interrupted; deleting it later is the caller's, and emptying the directory at boot.
 */
export const spool = (
  source: AsyncIterable<Uint8Array>, path: string, bytesMax: number,
): Effect.Effect<number, PullFault> =>
  Effect.tryPromise({
    try: (signal) => spoolFile(source, path, bytesMax, signal),
    catch: (error) => {
      if (error instanceof SpoolFault) {
        return new PullFault({ reason: error.reason, cause: error.message })
      }
      const { code = "", message } = error as NodeJS.ErrnoException
      if (["ENOSPC", "EDQUOT"].includes(code)) {
        return new PullFault({ reason: "noSpace", cause: `write ${path}: no space left on device` })
      }
      return new PullFault({ reason: "local", cause: `the archive cannot be kept: ${message}` })
    },
  })
