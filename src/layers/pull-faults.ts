import { Errno } from "../kernel/libc.ts"
import type { RegistryFault } from "../registry/faults.ts"
import { PullFault } from "./carrier.ts"

/** A registry's fault, as the end of a pull. */
export const pullFaultOf = ({ reason, cause }: RegistryFault): PullFault =>
  new PullFault({ reason, cause })

const NO_SPACE: readonly string[] = ["ENOSPC", "EDQUOT"]

/** What was thrown by plain code, as the end of a pull. */
export function pullFaultOfError(error: unknown): PullFault {
  if (error instanceof PullFault) return error
  if (error instanceof Errno && NO_SPACE.includes(error.code)) {
    return new PullFault({ reason: "noSpace", cause: `no space left on device: ${error.message}` })
  }
  const cause = error instanceof Error ? error.message : String(error)
  return new PullFault({ reason: "local", cause })
}
