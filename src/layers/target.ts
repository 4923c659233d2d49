import * as Result from "effect/Result"
import { deltaImageOf } from "../oci/delta.ts"
import { digestOf } from "../oci/digest.ts"
import { parseImageConfig } from "../oci/image-config.ts"
import { type DeltaOf, PullFault } from "./carrier.ts"

/** The image that a pull or a load is to make. */
export interface Target {
  readonly config: Uint8Array
  /** Operating system; empty: not said. */
  readonly os: string
  readonly diffIds: readonly string[]
  readonly delta: DeltaOf | null
}

/** What the configuration of an image that came stands for: of a delta's, what the delta makes. */
export const targetOf = (config: Uint8Array): Result.Result<Target, PullFault> =>
  Result.mapError(
    Result.gen(function*() {
      const own = yield* parseImageConfig(config)
      const found = yield* deltaImageOf(own)
      if (found === null) return { config, os: own.os, diffIds: own.diffIds, delta: null }
      const { baseId, target, targetBytes } = found
      const delta = { imageId: digestOf(config), base: baseId }
      return { config: targetBytes, os: target.os, diffIds: target.diffIds, delta }
    }),
    ({ cause }) => new PullFault({ reason: "damaged", cause }),
  )
