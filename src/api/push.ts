import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { push as pushImage, type PushNews } from "../engine/requests/push.ts"
import { type Reference, referenceOf, repositoryOf } from "../oci/reference.ts"
import { credentialsIn } from "./auth.ts"
import { ApiFault, asFault, invalid } from "./faults.ts"
import { moving, retryLine, shortOf, stepOf } from "./progress.ts"
import { attempt, type Call, route } from "./route.ts"
import { jsonLines } from "./stream.ts"
import { whenTold } from "./told.ts"

type Line = Readonly<Record<string, unknown>>

const DONE = {
  pushed: () => "Pushed",
  existed: () => "Layer already exists",
  mounted: (from: string | null) => `Mounted from ${from}`,
} as const

const status = (status: string, diffId: string): Line =>
  ({ status, progressDetail: {}, id: shortOf(diffId) })

/** Docker's lines about a push. Layers go by their diff IDs, as their digests are not known yet. */
export class PushLines {
  readonly #reference: Reference
  /** How far each layer was when it was last shown. */
  readonly #shown = new Map<string, number>()

  constructor(reference: Reference) {
    this.#reference = reference
  }

  news(news: PushNews): readonly Line[] {
    switch (news.kind) {
      case "begun":
        return [{ status: `The push refers to repository [${repositoryOf(this.#reference)}]` }]
      case "layers":
        return [
          ...news.diffIds.map((diffId) => status("Preparing", diffId)),
          ...[...new Set(news.diffIds)].slice(news.atOnce).map((id) => status("Waiting", id)),
        ]
      case "progress":
        return this.#move(news)
      case "retry":
        return [retryLine(news.retry, this.#reference.tag ?? "")]
      case "laid":
        return [status(DONE[news.how](news.from), news.diffId)]
      case "pushed": {
        const { tag, digest, size } = news
        return [
          { status: `${tag === null ? "" : `${tag}: `}digest: ${digest} size: ${size}` },
          { progressDetail: {}, aux: { Tag: tag ?? "", Digest: digest, Size: size } },
        ]
      }
    }
  }

  #move({ diffId, progress }: Extract<PushNews, { readonly kind: "progress" }>): readonly Line[] {
    const { current, total, retry } = progress
    if (retry !== null) return [retryLine(retry, shortOf(diffId))]
    const shown = this.#shown.get(diffId)
    const isNews = shown === undefined || current < shown || current === total ||
      current - shown >= stepOf(total)
    if (!isNews) return []
    this.#shown.set(diffId, current)
    return [moving("Pushing", shortOf(diffId), current, total)]
  }
}

const push = ({ params, query, request }: Call) =>
  Effect.gen(function*() {
    const parsed = referenceOf(params["name"]!, query.get("tag") ?? "")
    if (Result.isFailure(parsed)) return yield* Effect.fail(invalid(parsed.failure.cause))
    const credentials = yield* attempt(() => credentialsIn(request.headers["x-registry-auth"]))
    const reference = parsed.success
    const lines = new PushLines(reference)
    const values = yield* whenTold(
      (tell: (news: PushNews) => void) =>
        Effect.mapError(pushImage(reference, credentials, tell), (fault) =>
          fault._tag === "PushNameFault"
            ? ApiFault.of("notFound", fault.cause)
            : asFault(fault)),
      { news: (news: PushNews) => lines.news(news), end: () => [] },
    )
    return yield* jsonLines(request, values)
  })

/** The route that sends images away. */
export const pushRoutes = [route("POST", "/images/{name}/push", push)]
