import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { loadArchive, saveImages } from "../engine/flows/archive.ts"
import { removeImage, tagImage } from "../engine/requests/image.ts"
import { pull, PullFault, type PullNews } from "../engine/requests/pull.ts"
import {
  type ImageNameFault,
  type ImageView,
  listImages,
  viewImage,
} from "../engine/views/image.ts"
import { familiarReference, parseReference, referenceOf, withDefaultTag } from "../oci/reference.ts"
import { machinePlatform, parsePlatform } from "../oci/platform.ts"
import { credentialsIn } from "./auth.ts"
import { ApiFault, asFault, invalid, notYet } from "./faults.ts"
import { loadLines, PullLines } from "./progress.ts"
import { filterBool, type Filters, labelsMatch, queryBool, queryFilters } from "./query.ts"
import { attempt, type Call, route } from "./route.ts"
import { historyOf, imageInspect, imageSummary, knownAs } from "./schema/image.ts"
import { json, jsonLines, streamed } from "./stream.ts"
import { timeOf } from "./time.ts"
import { inBand, whenTold } from "./told.ts"

/** Docker's words and numbers for a name that leads nowhere. */
export const named = ({ reason, name, cause }: ImageNameFault): ApiFault =>
  reason === "malformed"
    ? invalid(cause)
    : reason === "ambiguous"
    ? ApiFault.of(
      "invalidParameter",
      `ambiguous reference: ${name} is the prefix of several images`,
    )
    : ApiFault.of("notFound", `No such image: ${withTagShown(name)}`)

const withTagShown = (name: string): string => {
  const parsed = parseReference(name)
  return Result.isFailure(parsed) ? name : familiarReference(withDefaultTag(parsed.success))
}

/**
 * What status a pull's failure has, as long as nothing has been sent: Docker's. Never a 401, at
 * which the CLI asks for a password instead of saying what was wrong.
 */
const pullFault = (fault: unknown): ApiFault => {
  if (!(fault instanceof PullFault)) return asFault(fault)
  const { reason, cause } = fault
  const isMissing = reason === "notFound" || cause.startsWith("pull access denied")
  return ApiFault.of(isMissing ? "notFound" : "system", cause)
}

const create = (call: Call) =>
  Effect.gen(function*() {
    const { query, request } = call
    if (query.get("fromSrc")) return yield* Effect.fail(notYet("importing an image"))
    const image = query.get("fromImage") ?? ""
    const parsed = referenceOf(image, query.get("tag") ?? "")
    if (Result.isFailure(parsed)) return yield* Effect.fail(invalid(parsed.failure.cause))
    const credentials = yield* attempt(() => credentialsIn(request.headers["x-registry-auth"]))
    const reference = withDefaultTag(parsed.success)
    const platform = query.get("platform") || null
    if (platform !== null && parsePlatform(platform, machinePlatform) === null) {
      const words = `"${platform}": unknown operating system or architecture: invalid argument`
      return yield* Effect.fail(invalid(words))
    }
    const lines = new PullLines(reference)
    const values = yield* whenTold(
      (tell: (news: PullNews) => void) =>
        Effect.mapError(pull({ reference, platform, credentials }, tell), pullFault),
      { news: (news: PullNews) => lines.news(news), end: (pulled) => lines.end(pulled) },
    )
    return yield* jsonLines(request, values)
  })

const FILTERS = ["before", "dangling", "label", "reference", "since", "until"]

const list = (call: Call) =>
  Effect.gen(function*() {
    const filters = yield* attempt(() => queryFilters(call.query, FILTERS))
    const dangling = yield* attempt(() => filterBool(filters, "dangling"))
    const images = yield* listImages
    const times = yield* Effect.forEach(["before", "since"] as const, (name) =>
      createdOf(filters, name))
    const [before, since] = times
    const until = yield* untilOf(filters)
    const shown = yield* attempt(() => images.filter((image) =>
      labelsMatch(image.config.config.labels, filters.get("label")) &&
      (dangling === undefined || dangling === (image.tags.length === 0)) &&
      (before === null || created(image) < before!) &&
      (since === null || created(image) > since!) &&
      created(image) < until &&
      knownAs(image, filters.get("reference"))))
    const digests = queryBool(call.query, "digests", true)
    return json(shown.map((image) =>
      imageSummary(image, call.version, filters.get("reference"), digests)
    ))
  })

/** Only images made before this moment are asked for; Infinity: all. */
const untilOf = (filters: Filters) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    attempt(() => timeOf(filters.get("until")?.[0] ?? null, now) ?? Infinity))

const created = ({ config }: ImageView): number => Date.parse(config.created) || 0

const createdOf = (filters: Filters, name: string) =>
  Effect.gen(function*() {
    const value = filters.get(name)?.[0]
    if (value === undefined) return null
    return created(yield* Effect.mapError(viewImage(value), named))
  })

const inspect = ({ params, version }: Call) =>
  Effect.map(
    Effect.mapError(viewImage(params["name"]!), named),
    (image) => json(imageInspect(image, version)),
  )

const history = ({ params }: Call) =>
  Effect.map(Effect.mapError(viewImage(params["name"]!), named), (image) => json(historyOf(image)))

const tag = ({ params, query }: Call) =>
  Effect.gen(function*() {
    const parsed = referenceOf(query.get("repo") ?? "", query.get("tag") ?? "")
    if (Result.isFailure(parsed)) return yield* Effect.fail(invalid(parsed.failure.cause))
    if (parsed.success.digest !== null) {
      return yield* Effect.fail(invalid("refusing to create a tag with a digest reference"))
    }
    yield* Effect.catchTag(tagImage(params["name"]!, parsed.success), "ImageNameFault", (fault) =>
      Effect.fail(named(fault)))
    return json("", 201)
  })

const remove = ({ params, query }: Call) =>
  removeImage(params["name"]!, queryBool(query, "force")).pipe(
    Effect.map((removed) =>
      json(
        removed.map((one) =>
          "untagged" in one ? { Untagged: one.untagged } : { Deleted: one.deleted }
        ),
      )
    ),
    Effect.catchTags({
      ImageNameFault: (fault) => Effect.fail(named(fault)),
      ImageInUse: ({ cause }) => Effect.fail(ApiFault.of("conflict", cause)),
      RequestFault: (fault) =>
        Effect.fail(fault.reason === "inUse"
          ? ApiFault.of("conflict", `conflict: the image is being used by ${fault.about}`)
          : asFault(fault)),
    }),
  )

/** Docker never gives a failed load a status: clients look for the error in the stream. */
const load = ({ request, query }: Call) =>
  Effect.gen(function*() {
    const body = Stream.toAsyncIterableWith(request.stream, yield* Effect.context<never>())
    const quiet = queryBool(query, "quiet", true)
    const values = yield* whenTold(
      (tell: (news: PullNews) => void) => Effect.mapError(loadArchive(body, tell), pullFault),
      loadLines(quiet),
    ).pipe(
      // As Docker's, it has no status to fail with: clients look for the error in its words.
      Effect.catch(({ message }) => Effect.succeed(Stream.make(inBand(message)))),
    )
    return yield* jsonLines(request, values)
  })

const save = (names: readonly string[], { request }: Call) =>
  Effect.gen(function*() {
    if (names.length === 0) return yield* Effect.fail(invalid("no image is named"))
    const archive = yield* Effect.mapError(saveImages(names), named)
    return yield* streamed(request, "application/x-tar", archive)
  })

/** Removes images without a name, or all that no container uses. */
const prune = (call: Call) =>
  Effect.gen(function*() {
    const filters = yield* attempt(() => queryFilters(call.query, ["dangling", "label", "until"]))
    const dangling = (yield* attempt(() => filterBool(filters, "dangling"))) ?? true
    const until = yield* untilOf(filters)
    const images = (yield* listImages).filter((image) =>
      image.containers === 0 && (image.tags.length === 0 || !dangling) &&
      created(image) < until &&
      labelsMatch(image.config.config.labels, filters.get("label")))
    const removed = yield* Effect.forEach(images, (image) =>
      Effect.orElseSucceed(
        Effect.map(removeImage(image.row.id, true), (lines) => ({ lines, bytes: image.bytes })),
        () => ({ lines: [], bytes: 0 }),
      ))
    const deleted = removed.flatMap(({ lines }) => lines)
      .map((one) => "untagged" in one ? { Untagged: one.untagged } : { Deleted: one.deleted })
    return json({
      ImagesDeleted: deleted.length === 0 ? null : deleted,
      SpaceReclaimed: removed.reduce((sum, { bytes }) => sum + bytes, 0),
    })
  })

export const imageRoutes = [
  route("POST", "/images/create", create),
  route("GET", "/images/json", list),
  route("GET", "/images/search", () => Effect.fail(notYet("searching a registry"))),
  route("GET", "/images/get", (call) => save(call.query.getAll("names"), call)),
  route("GET", "/images/{name}/get", (call) => save([call.params["name"]!], call)),
  route("GET", "/images/{name}/json", inspect),
  route("GET", "/images/{name}/history", history),
  route("POST", "/images/load", load),
  route("POST", "/images/prune", prune),
  route("POST", "/images/{name}/tag", tag),
  route("DELETE", "/images/{name}", remove),
]

