import { DeltaError } from "../delta/base.ts"
import { UnknownCompression, DecompressError } from "./decompressor.ts"
import { PullFault } from "./carrier.ts"
import { LayerDamaged } from "./damage.ts"
import { ADVICE } from "./space.ts"
import { TarError } from "./tar-header.ts"

/** An archive that tries to reach what is outside of its root. */
export const hostile = (cause: string): PullFault => new PullFault({ reason: "hostile", cause })

export const damaged = (cause: string): PullFault => new PullFault({ reason: "damaged", cause })

const NO_SPACE = new Set(["ENOSPC", "EDQUOT"])

/**
 * What the kernel answers to an archive that contradicts itself, such as a file used as a
 * directory.
 */
const CONTRADICTION = new Set([
  "ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "ENAMETOOLONG", "EFBIG", "EMLINK", "EINVAL", "ERANGE",
  "E2BIG",
])

const applying = ({ message }: DeltaError): string =>
  `failed to register layer: applying delta: ${message}`

/** Why extraction cannot go on, in the words of a pull. `during` says what was being done. */
export const faultOf = (error: unknown, during: string): PullFault => {
  if (error instanceof PullFault) return error
  if (error instanceof LayerDamaged) return damaged(error.message)
  if (error instanceof TarError) return damaged(`the layer's tar has ${error.message}`)
  if (error instanceof DecompressError) return damaged(`the layer is ${error.message}`)
  if (error instanceof DeltaError && error.what === "base") {
    return new PullFault({ reason: "noBase", cause: applying(error) })
  }
  if (error instanceof DeltaError) return damaged(applying(error))
  if (error instanceof UnknownCompression) {
    return new PullFault({
      reason: "unsupported",
      cause: `the layer is compressed with ${error.message}; gzip, zstd or none are understood`,
    })
  }
  const code = error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code : ""
  const cause = `${during}: ${error instanceof Error ? error.message : String(error)}`
  if (NO_SPACE.has(code)) {
    const words = `${during}: no space left on device; ${ADVICE}`
    return new PullFault({ reason: "noSpace", cause: words })
  }
  if (CONTRADICTION.has(code)) return damaged(cause)
  return new PullFault({ reason: "local", cause })
}
