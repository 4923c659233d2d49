import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Address } from "../../../machines/words.ts"
import { Directories } from "../../kernel/directories.ts"
import { type Credentials, type EncodedLayer, PullFault } from "../../layers/carrier.ts"
import { deltaConfig, type DeltaFormat, deltaImageOf } from "../../oci/delta.ts"
import { digestOf } from "../../oci/digest.ts"
import { parseImageConfig } from "../../oci/image-config.ts"
import {
  familiarRepository, formatReference, parseReference, type Reference,
} from "../../oci/reference.ts"
import { Store } from "../../store/store.ts"
import { partOf, spoolOf } from "../hands/delta.ts"
import { digestIn } from "../hands/push.ts"
import { Loop } from "../loop.ts"
import { Paths } from "../paths.ts"
import { ProgressBoard } from "../progress.ts"
import type { Transition } from "../step.ts"
import { findImage } from "../views/image.ts"
import { removeImage } from "./image.ts"
import { loadOne } from "./load.ts"
import { pushOne, type PushNews } from "./push.ts"

/** What a client that has deltas made is told, in order, for one after another. */
export type DeltaNews =
  | { readonly kind: "begun"; readonly source: string; readonly layers: readonly string[] }
  /** Part 0 is the base, part n the nth layer. */
  | {
    readonly kind: "progress"
    readonly part: number
    readonly current: number
    readonly total: number
  }
  | { readonly kind: "made"; readonly delta: MadeDelta }
  | { readonly kind: "push"; readonly news: PushNews }

export interface MadeDelta {
  readonly imageId: string
  /** Bytes of files in the layers that the delta replaces, and of the deltas themselves. */
  readonly normalBytes: number
  readonly deltaBytes: number
}

interface WantedDelta {
  /** Names of the base and of the image that the delta makes of it. */
  readonly source: string
  readonly target: string
  readonly tag: Reference | null
  readonly format: DeltaFormat
}

export interface WantedDeltas extends Omit<WantedDelta, "source"> {
  readonly sources: readonly string[]
  /** They go to the target's repository, or the tag's; null: they stay here. */
  readonly push: { readonly credentials: Credentials | null } | null
}

/** What cannot be done with these names, before anything has been. */
export class DeltaFault extends Schema.TaggedError<DeltaFault>()("DeltaFault", {
  cause: Schema.String,
}) {}

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
 * Makes the delta from each of some images to another, and keeps it as an image of its own: it can
 * be tagged, pushed, saved and removed. Where it is pushed it is attached to its target, and kept
 * only if it has a tag. A client that goes away ends it.
 */
export const makeDeltas = (wanted: WantedDeltas, tell: (news: DeltaNews) => void) =>
  Effect.gen(function*() {
    for (const name of [...wanted.sources, wanted.target]) yield* refuseDelta(name)
    const place = wanted.push === null ? null : yield* placeFor(wanted)
    for (const source of wanted.sources) {
      const delta = yield* makeDelta({ ...wanted, source }, tell)
      tell({ kind: "made", delta })
      if (wanted.push === null || place === null) continue
      const { imageId } = delta
      const pushing = pushOne({ reference: place, imageId }, wanted.push.credentials, (news) =>
        tell({ kind: "push", news }))
      const gone = wanted.tag === null ? Effect.ignore(removeImage(imageId, false)) : Effect.void
      yield* Effect.ensuring(pushing, gone)
    }
  })

/** What a delta makes is what one is wanted of; of a delta itself, nobody would apply it. */
const refuseDelta = (name: string) =>
  Effect.gen(function*() {
    const store = yield* Store
    const { imageId } = yield* findImage(name)
    const config = parseImageConfig(store.images.get(imageId)!.config)
    const delta = Result.getOrNull(Result.flatMap(config, deltaImageOf))
    if (delta === null) return
    const advice = "name the images that it is between"
    return yield* new DeltaFault({ cause: `${name} is a delta itself: ${advice}` })
  })

/** Where deltas of an image go: the repository must have the image, or nobody would find them. */
const placeFor = ({ target, tag }: WantedDeltas) =>
  Effect.gen(function*() {
    const { imageId, reference } = yield* findImage(target)
    const name = tag ?? (reference === null ? null : Result.getOrThrow(parseReference(reference)))
    if (name === null) {
      return yield* new DeltaFault({ cause: `${target} names no repository to push the delta to` })
    }
    if (digestIn(yield* Store, name, imageId) === null) {
      const cause = `${familiarRepository(name)} is not known to have ${target}: push it first`
      return yield* new DeltaFault({ cause })
    }
    return { ...name, tag: tag?.tag ?? null, digest: null }
  })

const makeDelta = (wanted: WantedDelta, tell: (news: DeltaNews) => void) =>
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
    tell({ kind: "begun", source: wanted.source, layers: rows.map((row) => row.diff_id) })
    const base = store.images.layers(source.imageId)
    const terms = { base, target: layers, format: wanted.format }
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
        format: wanted.format,
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
      normalBytes: told.reduce((sum, { row }) => sum + row.bytes, 0),
      deltaBytes: told.reduce((sum, { payload }) => sum + payload, 0),
    } satisfies MadeDelta
  }))
