import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import type { Address } from "../../../machines/words.ts"
import { Directories } from "../../kernel/directories.ts"
import { type EncodedLayer, PullFault } from "../../layers/carrier.ts"
import { deltaConfig } from "../../oci/delta.ts"
import { digestOf } from "../../oci/digest.ts"
import { formatReference, type Reference } from "../../oci/reference.ts"
import { Store } from "../../store/store.ts"
import { partOf, spoolOf } from "../hands/delta.ts"
import { Loop } from "../loop.ts"
import { Paths } from "../paths.ts"
import { ProgressBoard } from "../progress.ts"
import type { Transition } from "../step.ts"
import { findImage } from "../views/image.ts"
import { loadOne } from "./load.ts"

/** What a client that has a delta made is told, in order. */
export type DeltaNews =
  | { readonly kind: "begun"; readonly layers: readonly string[] }
  /** Part 0 is the base, part n the nth layer. */
  | {
    readonly kind: "progress"
    readonly part: number
    readonly current: number
    readonly total: number
  }

export interface MadeDelta {
  readonly imageId: string
  readonly tag: string | null
  /** Bytes of files in the layers that the delta replaces, and of the deltas themselves. */
  readonly normalBytes: number
  readonly deltaBytes: number
}

export interface WantedDelta {
  /** Names of the base and of the image that the delta makes of it. */
  readonly source: string
  readonly target: string
  readonly tag: Reference | null
}

/** How the making ended, if this transition ended it. */
const outcomeOf = (
  { event, snapshot, done }: Transition,
): readonly EncodedLayer[] | PullFault | undefined => {
  if (!done) return undefined
  const { layers } = (event["row"] ?? {}) as { readonly layers?: readonly EncodedLayer[] }
  if (layers !== undefined) return layers
  const { failure } = snapshot.context as { failure: { reason: string; cause: string } | null }
  const cause = failure?.cause ?? "the delta was given up"
  const isLost = failure === null || failure.reason === "interrupted"
  return new PullFault({ reason: isLost ? "lost" : failure.reason as PullFault["reason"], cause })
}

/** Tells of the parts of a delta in the making, for as long as the scope lives. */
const watchDelta = (address: Address, layers: number, tell: (news: DeltaNews) => void) =>
  Effect.gen(function*() {
    const board = yield* ProgressBoard
    const parts = new Map(Array.from({ length: layers + 1 }, (_, n) => [partOf(address, n), n]))
    const stop = board.listen(({ of, current, total }) => {
      const part = parts.get(of)
      if (part !== undefined) tell({ kind: "progress", part, current, total })
    })
    yield* Effect.addFinalizer(() => Effect.sync(stop))
  })

/**
 * Makes the delta from one image to another, and keeps it as an image of its own: it can be tagged,
 * pushed, saved and removed. A client that goes away ends it.
 */
export const makeDelta = (wanted: WantedDelta, tell: (news: DeltaNews) => void) =>
  Effect.scoped(Effect.gen(function*() {
    const store = yield* Store
    const loop = yield* Loop
    const paths = yield* Paths
    const directories = yield* Directories
    const source = yield* findImage(wanted.source)
    const target = yield* findImage(wanted.target)
    const layers = store.images.layers(target.imageId)
    const rows = layers.map((layer) => store.layers.get(layer)!)
    const { config } = store.images.get(target.imageId)!
    const number = yield* Random.nextIntBetween(0, 2 ** 31)
    const address = `delta/${number.toString(36)}`
    yield* directories.names(paths.spool) // makes it
    yield* Effect.addFinalizer(() => directories.discard(spoolOf(paths, address)))
    yield* watchDelta(address, layers.length, tell)
    tell({ kind: "begun", layers: rows.map((row) => row.diff_id) })
    const terms = { base: store.images.layers(source.imageId), target: layers, format: "rsync" }
    const made = yield* Effect.onInterrupt(
      loop.ask(address, { type: "make", terms }, outcomeOf),
      () => Effect.ignore(loop.ask(address, { type: "cancel" }, () => true)),
    )
    if (made instanceof PullFault) return yield* made
    const now = yield* Clock.currentTimeMillis
    const own = yield* Effect.fromResult(Result.mapError(
      deltaConfig({
        created: new Date(now).toISOString(),
        baseId: source.imageId,
        targetBytes: config,
        diffIds: made.map(({ diffId }) => diffId),
      }),
      ({ cause }) => new PullFault({ reason: "unsupported", cause }),
    ))
    const tag = wanted.tag === null ? null : formatReference(wanted.tag)
    yield* loadOne({
      imageId: digestOf(own),
      config: own,
      tags: tag === null ? [] : [tag],
      layers: made.map(({ diffId, path, offset, size }) =>
        ({ diffId, source: { kind: "archive" as const, path, offset, size } })),
      delta: null,
    }, () => {})
    const told = made.map(({ payload }, n) => ({ payload, row: rows[n]! }))
      .filter(({ payload }) => payload > 0)
    return {
      imageId: digestOf(own),
      tag,
      normalBytes: told.reduce((sum, { row }) => sum + row.bytes, 0),
      deltaBytes: told.reduce((sum, { payload }) => sum + payload, 0),
    } satisfies MadeDelta
  }))
