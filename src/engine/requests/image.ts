import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import {
  familiarReference,
  formatReference,
  parseReference,
  type Reference,
  repositoryOf,
  withDefaultTag,
} from "../../oci/reference.ts"
import type { NamesCargo, RemovalCargo } from "../../store/images.ts"
import { Store, type StoreBody } from "../../store/store.ts"
import { Loop } from "../loop.ts"
import { findImage, type Found } from "../views/image.ts"

/** Why an image stays, in Docker's words. */
export class ImageInUse extends Schema.TaggedError<ImageInUse>()("ImageInUse", {
  cause: Schema.String,
}) {}

/** One line of what a removal did. */
export type Removed = { readonly untagged: string } | { readonly deleted: string }

/** Gives an image one more name; what had it before loses it. */
export const tagImage = (name: string, reference: Reference) =>
  Effect.gen(function*() {
    const loop = yield* Loop
    const { imageId } = yield* findImage(name)
    const tags = [formatReference(withDefaultTag(reference))]
    const row: NamesCargo = { imageId, tags, digests: [] }
    yield* loop.ask(`image/${imageId}`, { type: "tag", row }, () => true)
  })

const shortId = (id: string): string => id.replace("sha256:", "").slice(0, 12)

interface Names {
  readonly tags: readonly string[]
  readonly digests: readonly string[]
}

const namesOf = (store: StoreBody, imageId: string): Names => {
  const mine = (rows: readonly { reference: string; image: string }[]) =>
    rows.filter((row) => row.image === imageId).map((row) => row.reference)
  return { tags: mine(store.images.tags()), digests: mine(store.images.digests()) }
}

const repositoryIn = (reference: string): string =>
  repositoryOf(Result.getOrThrow(parseReference(reference)))

/** Who stands in the way of the image's going altogether; null: nobody. */
const user = (store: StoreBody, loop: Loop["Service"], imageId: string) => {
  const ids = store.containers.usersOf(imageId)
  const running = ids.find((id) => loop.snapshot(`container/${id}`)?.hasTag("running"))
  return { running: running ?? null, any: running ?? ids[0] ?? null }
}

/** Is it known by one tag at most, and by digests of the same repository? */
const isOneName = ({ tags, digests }: Names): boolean =>
  tags.length <= 1 && new Set([...tags, ...digests].map(repositoryIn)).size <= 1

/**
 * What one removal takes, by Docker's rules: a name goes alone while the image has others; with its
 * last name goes the image; an ID takes everything, but several names only by force.
 */
const plan = (
  store: StoreBody,
  loop: Loop["Service"],
  { imageId, reference }: Found,
  asked: string,
  force: boolean,
): Effect.Effect<RemovalCargo, ImageInUse> => {
  const names = namesOf(store, imageId)
  const refused = (cause: string) => Effect.fail(new ImageInUse({ cause }))
  const whole = { imageId, ...names, forget: true, force }
  const { running, any } = user(store, loop, imageId)
  if (reference === null) {
    const cannot = `conflict: unable to delete ${shortId(imageId)}`
    if (running !== null) {
      return refused(`${cannot} (cannot be forced) - image is being used by running container ` +
        shortId(running))
    }
    if (!isOneName(names) && !force) {
      return refused(`${cannot} (must be forced) - image is referenced in multiple repositories`)
    }
    if (any !== null && !force) {
      return refused(`${cannot} (must be forced) - image is being used by stopped container ` +
        shortId(any))
    }
    return Effect.succeed(whole)
  }
  const isDigest = reference.includes("@")
  const repository = repositoryIn(reference)
  const tags = isDigest ? [] : [reference]
  // The digests of a repository go with its last tag: they were never asked for by themselves.
  const siblings = names.tags.filter((tag) => tag !== reference && repositoryIn(tag) === repository)
  const digests = isDigest
    ? [reference]
    : siblings.length > 0
    ? []
    : names.digests.filter((digest) => repositoryIn(digest) === repository)
  const last = tags.length === names.tags.length && digests.length === names.digests.length
  const part = { imageId, tags, digests, forget: false, force }
  if (!last) return Effect.succeed(part)
  if (any === null || (force && running === null)) return Effect.succeed({ ...part, forget: true })
  if (force) return Effect.succeed(part) // a running container keeps its image, though not the name
  return refused(`conflict: unable to remove repository reference "${asked}" (must force) - ` +
    `container ${shortId(any)} is using its referenced image ${shortId(imageId)}`)
}

/** Removes an image, or one of its names. Answers what went, in order. */
export const removeImage = (name: string, force: boolean) =>
  Effect.gen(function*() {
    const store = yield* Store
    const loop = yield* Loop
    const found = yield* findImage(name)
    const row = yield* plan(store, loop, found, name, force)
    const layers = store.images.layers(found.imageId).map((address) => store.layers.get(address)!)
    yield* loop.ask(`image/${found.imageId}`, { type: "remove", row }, () => true)
    const untagged = [...row.tags, ...row.digests].map((reference): Removed => ({
      untagged: familiarReference(Result.getOrThrow(parseReference(reference))),
    }))
    if (!row.forget) return untagged
    const unnamed = store.unnamedLayers() // the sweep may have been quicker: then the row is gone
    const deleted = layers.reverse()
      .filter(({ address }) => unnamed.has(address) || store.layers.get(address) === undefined)
      .map((layer): Removed => ({ deleted: layer.diff_id }))
    return [...untagged, { deleted: found.imageId }, ...deleted]
  })
