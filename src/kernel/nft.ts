import { closeSync, writeSync } from "node:fs"
import * as Effect from "effect/Effect"
import { awaited } from "./host.ts"
import { Missing, programOf } from "./probe.ts"
import { RunFault } from "./runtime.ts"
import { run, scratch } from "./spawn.ts"

/**
 * Applies rules (`nft -f -`), all of them or none. Takes 5 to 10 ms, in another process; callers
 * see to it that two of them do not overtake each other.
 */
export const applyRules = (rules: string): Effect.Effect<void, RunFault> =>
  awaited<string>((done) => {
    const nft = programOf("nft")
    if (nft === null) throw new Missing("nft is not installed: apt-get install nftables")
    const input = scratch()
    try {
      writeAll(input, Buffer.from(rules))
      run({ argv: [nft, "-f", "-"], descriptors: { 0: input } }, ({ exitCode, stderr }) => {
        done(exitCode === 0 ? "" : stderr.trim() || `exit code ${exitCode}`)
      })
    } finally {
      closeSync(input)
    }
  }).pipe(
    Effect.flatMap((refusal) =>
      refusal === ""
        ? Effect.void
        : Effect.fail(new RunFault({ cause: `packet filter: ${refusal}` }))
    ),
  )

/** Writes by position, so that whoever inherits the descriptor reads from the beginning. */
function writeAll(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at, at)
}
