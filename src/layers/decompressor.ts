import type { ApplyState } from "../delta/apply.ts"
import type { InflateState } from "../kernel/inflate.ts"
import type { GzipState } from "./gzip.ts"

/** A blob that cannot be decompressed. */
export class DecompressError extends Error {}
/** A blob compressed in a way that we do not have. */
export class UnknownCompression extends Error {}

/** Where a decompressor stood; plain data but for the window. */
export interface DecompressState {
  readonly format: "gzip" | "zstd" | "plain"
  readonly gzip?: GzipState
  readonly inflate?: InflateState
  /** zstd: output since the frame's start, which a resume produces again and drops. */
  readonly skip?: number
  /**
   * A delta's: how far it is applied, what is decompressed and not yet (in base 64), and how much
   * of what it makes is to be dropped.
   */
  readonly delta?: { readonly apply?: ApplyState; readonly rest: string; readonly skip: number }
}

/**
 * Turns a blob's bytes into a tar's, as they come. What comes out goes to the sink it was made
 * with.
 */
export interface Decompressor {
  /**
   * Takes input from `from` to `to`; answers how many bytes it used. It may stop before the end:
   * with `stop` where a checkpoint can be made, else where an anchored format begins a frame.
   */
  push(bytes: Buffer, from: number, to: number, stop: boolean): number
  /** Can the state be taken here? */
  readonly boundary: boolean
  /**
   * A resume begins not where the state was taken but where `atAnchor` was last true: only there
   * has the format a state that can be told.
   */
  readonly anchored: boolean
  readonly atAnchor?: boolean
  /** Is there more to be made of the input already taken? Then `push` does that, and uses none. */
  readonly owing?: boolean
  /** The input ends here; an end in the middle of something is an error. */
  end(): void
  state(): DecompressState
  close(): void
}
