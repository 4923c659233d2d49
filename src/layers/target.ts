import * as Result from "effect/Result"
import { deltaOf } from "../delta/labels.ts"
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
  Result.gen(function*() {
    const { os, diffIds, config: { labels } } = yield* parsed(config)
    const found = yield* Result.mapError(deltaOf(labels), damaged)
    if (found === null) return { config, os, diffIds, delta: null }
    const made = yield* parsed(found.config)
    const delta = { imageId: digestOf(config), base: found.base }
    return { config: found.config, os: made.os, diffIds: made.diffIds, delta }
  })

const parsed = (config: Uint8Array) =>
  Result.mapError(parseImageConfig(config), ({ cause }) => damaged(cause))

const damaged = (cause: string): PullFault => new PullFault({ reason: "damaged", cause })
