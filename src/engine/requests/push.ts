import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Address } from "../../../machines/words.ts"
import { type Credentials, PullFault, UPLOADS_MAX } from "../../layers/carrier.ts"
import {
  familiarReference, familiarRepository, formatReference, parseReference, type Reference,
  repositoryOf,
} from "../../oci/reference.ts"
import { Store, type StoreBody } from "../../store/store.ts"
import { progressOf } from "../hands/push.ts"
import { Keyring } from "../keyring.ts"
import { Loop } from "../loop.ts"
import { type Progress, ProgressBoard } from "../progress.ts"
import type { Transition } from "../step.ts"

/** A name of which there is nothing to push, in Docker's words. */
export class PushNameFault extends Schema.TaggedError<PushNameFault>()("PushNameFault", {
  cause: Schema.String,
}) {}

/** What a watcher of a push is told, in order. */
export type PushNews =
  /** There is something to push: from here on a failure is news as well. */
  | { readonly kind: "begun" }
  /** The registry answers; uppermost first, of which so many are sent at once. */
  | { readonly kind: "layers"; readonly diffIds: readonly string[]; readonly atOnce: number }
  | { readonly kind: "progress"; readonly diffId: string; readonly progress: Progress }
  /** The manifest has to wait. */
  | { readonly kind: "retry"; readonly retry: NonNullable<Progress["retry"]> }
  | {
    readonly kind: "laid"
    readonly diffId: string
    readonly how: "pushed" | "existed" | "mounted"
    /** A repository, where it was mounted from one. */
    readonly from: string | null
  }
  /** One tag is there, and what it names. */
  | {
    readonly kind: "pushed"
    /** Null: it has none, and is known by its digest alone. */
    readonly tag: string | null
    readonly digest: string
    /** Of the manifest. */
    readonly size: number
  }

interface Made {
  readonly digest: string
  readonly size: number
  readonly failure: { readonly reason: string; readonly cause: string } | null
}

const outcomeOf = ({ snapshot, done }: Transition): Made | PullFault | undefined => {
  if (!done) return undefined
  const made = snapshot.context as Made
  if (snapshot.matches("pushed")) return made
  const { reason = "lost", cause = "the push was given up" } = made.failure ?? {}
  return new PullFault({ reason: reason as PullFault["reason"], cause })
}

/** What is pushed under a name: that tag, or all that the repository has here. */
const tagsOf = (
  store: StoreBody,
  name: Reference,
): Effect.Effect<readonly Tagged[], PushNameFault> => {
  const repository = repositoryOf(name)
  const tagged = store.images.tags()
    .map(({ reference, image }): Tagged => ({
      reference: Result.getOrThrow(parseReference(reference)),
      imageId: image,
    }))
    .filter(({ reference }) => repositoryOf(reference) === repository)
  if (tagged.length === 0) {
    const cause = `An image does not exist locally with the tag: ${familiarRepository(name)}`
    return Effect.fail(new PushNameFault({ cause }))
  }
  const wanted = tagged.filter(({ reference }) => name.tag === null || reference.tag === name.tag)
  return wanted.length > 0
    ? Effect.succeed(wanted)
    : Effect.fail(new PushNameFault({ cause: `tag does not exist: ${familiarReference(name)}` }))
}

interface Tagged {
  readonly reference: Reference
  readonly imageId: string
}

/** Tells the news of one push, for as long as the scope lives. */
const watchPush = (address: Address, imageId: string, tell: (news: PushNews) => void) =>
  Effect.gen(function*() {
    const loop = yield* Loop
    const board = yield* ProgressBoard
    const store = yield* Store
    const layers = store.images.layers(imageId).map((layer) => store.layers.get(layer)!)
    const diffIds = layers.map((row) => row.diff_id).reverse()
    const byName = new Map(diffIds.map((diffId) => [progressOf(address, diffId), diffId]))
    let isNamed = false
    const stopBoard = board.listen((progress) => {
      const diffId = byName.get(progress.of)
      if (diffId !== undefined) tell({ kind: "progress", diffId, progress })
      if (progress.of !== address) return
      if (progress.retry !== null) tell({ kind: "retry", retry: progress.retry })
      else if (!isNamed) tell({ kind: "layers", diffIds, atOnce: UPLOADS_MAX })
      isNamed = true
    })
    const stopLoop = loop.listen(({ address: of, event }) => {
      if (of !== address || event.type !== "laid") return
      const { diff_id: diffId } = layers.find((row) => row.address === event["layer"])!
      const { how, from } = event as unknown as Extract<PushNews, { kind: "laid" }>
      tell({ kind: "laid", diffId, how, from })
    })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        stopBoard()
        stopLoop()
        board.end(address)
      })
    )
  })

/** Pushes one tag. Interrupted, it ends: nobody would hear of it. */
export const pushOne = (
  { reference, imageId }: Tagged,
  credentials: Credentials | null,
  tell: (news: PushNews) => void,
) =>
  Effect.scoped(Effect.gen(function*() {
    const loop = yield* Loop
    const keyring = yield* Keyring
    const name = formatReference(reference)
    const epoch = yield* Random.nextIntBetween(0, 2 ** 31)
    const address = `push/${epoch.toString(36)}-${name}`
    if (credentials !== null) keyring.set(address, credentials)
    yield* Effect.addFinalizer(() => Effect.sync(() => keyring.delete(address)))
    yield* watchPush(address, imageId, tell)
    const outcome = yield* Effect.onInterrupt(
      loop.ask(address, { type: "push", reference: name, imageId }, outcomeOf),
      () => Effect.sync(() => loop.post(address, { type: "abandon" })),
    )
    if (outcome instanceof PullFault) return yield* Effect.fail(outcome)
    const { digest, size } = outcome
    tell({ kind: "pushed", tag: reference.tag, digest, size })
  }))

/**
 * Pushes a tag to the registry that its name is of, or every tag that this repository has here, one
 * after another.
 */
export const push = (
  name: Reference,
  credentials: Credentials | null,
  tell: (news: PushNews) => void,
) =>
  Effect.gen(function*() {
    const tagged = yield* tagsOf(yield* Store, name)
    tell({ kind: "begun" })
    if (name.digest !== null) {
      return yield* new PullFault({
        reason: "unsupported",
        cause: "cannot push a digest reference",
      })
    }
    yield* Effect.forEach(tagged, (one) => pushOne(one, credentials, tell), { discard: true })
  })
