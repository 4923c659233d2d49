import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import {
  DeltaFault, type DeltaNews, type MadeDelta, makeDeltas, type WantedDeltas,
} from "../engine/requests/delta.ts"
import { ImageNameFault } from "../engine/views/image.ts"
import { DELTA_FORMATS } from "../oci/delta.ts"
import {
  familiarReference, parseReference, type Reference, withDefaultTag,
} from "../oci/reference.ts"
import { credentialsIn } from "./auth.ts"
import { ApiFault, asFault, invalid } from "./faults.ts"
import { named } from "./images.ts"
import { humanSize, type Line, moving, shortOf } from "./progress.ts"
import { PushLines } from "./push.ts"
import { queryBool } from "./query.ts"
import { attempt, type Call, route } from "./route.ts"
import { jsonLines } from "./stream.ts"
import { whenTold } from "./told.ts"

/** What balenaEngine's clients read while deltas are made, and sent. */
class DeltaLines {
  readonly #tag: Reference | null
  readonly #now: () => number
  readonly #push: PushLines
  #source = ""
  #sinceMs = 0
  #layers: readonly string[] = []
  #complete = new Set<number>()

  constructor(tag: Reference | null, pushed: Reference, now: () => number) {
    this.#tag = tag
    this.#now = now
    this.#push = new PushLines(pushed)
  }

  news(news: DeltaNews): readonly Line[] {
    if (news.kind === "begun") return this.#begin(news.source, news.layers)
    if (news.kind === "made") return this.#made(news.delta)
    if (news.kind === "push") return this.#push.news(news.news)
    const { part, current, total } = news
    if (this.#complete.has(part)) return []
    if (current === total) this.#complete.add(part)
    if (part === 0) return this.#fingerprint(current, total)
    const id = this.#layers[part - 1]!
    if (total === 0) return [{ status: "Skipping common layer", progressDetail: {}, id }]
    if (current < total) return [moving("Computing delta", id, current, total)]
    return [{ status: "Delta complete", progressDetail: {}, id }]
  }

  #begin(source: string, layers: readonly string[]): readonly Line[] {
    this.#source = source
    this.#sinceMs = this.#now()
    this.#layers = layers.map(shortOf)
    this.#complete = new Set()
    return [{ status: "Fingerprinting", progressDetail: {}, id: source }]
  }

  #made({ imageId, normalBytes, deltaBytes }: MadeDelta): readonly Line[] {
    const improvement = deltaBytes === 0 ? 0 : normalBytes / deltaBytes
    const sizes = `Normal size: ${humanSize(normalBytes)}, Delta size: ${humanSize(deltaBytes)}`
    const tagged = this.#tag === null
      ? []
      : [{ status: `Successfully tagged ${familiarReference(this.#tag)}\n` }]
    return [
      { status: `${sizes}, ${improvement.toFixed(2)}x improvement` },
      { status: `Created delta: ${imageId}` },
      ...tagged,
    ]
  }

  #fingerprint(current: number, total: number): readonly Line[] {
    if (current < total) return [moving("Fingerprinting", this.#source, current, total)]
    const seconds = (this.#now() - this.#sinceMs) / 1000
    const status = `Fingerprint complete, took ${seconds.toFixed(3)}s`
    return [
      { status, progressDetail: {}, id: this.#source },
      ...this.#layers.map((id) => ({ status: "Waiting", progressDetail: {}, id })),
    ]
  }
}

const unfound = (fault: ImageNameFault): ApiFault => {
  const { category, message } = named(fault)
  return category === "notFound"
    ? ApiFault.of(category, `no such image: ${fault.name}: ${message}`)
    : ApiFault.of(category, message)
}

/** The name that a delta is to have; a digest cannot be given, it is what it is. */
const tagOf = (text: string): Result.Result<Reference | null, ApiFault> => {
  if (text === "") return Result.succeed(null)
  return Result.flatMap(
    Result.mapError(parseReference(text), ({ cause }) => invalid(cause)),
    (parsed) =>
      parsed.digest === null
        ? Result.succeed(withDefaultTag(parsed))
        : Result.fail(invalid("build tag cannot contain a digest")),
  )
}

/** What is asked for; `format`, `push` and several `src` are ours. */
const wantedIn = ({ query, request }: Call): Result.Result<WantedDeltas, ApiFault> =>
  Result.gen(function*() {
    const [sources, target] = [query.getAll("src"), query.get("dest") ?? ""]
    if (target === "" || sources.length === 0 || sources.includes("")) {
      return yield* Result.fail(invalid("both src and dest must name an image"))
    }
    const tag = yield* tagOf(query.get("t") ?? "")
    if (tag !== null && sources.length > 1) {
      return yield* Result.fail(invalid("several deltas cannot have the same tag"))
    }
    const isPushed = queryBool(query, "push")
    const named = query.get("format") ?? (isPushed ? "framed" : "rsync")
    const format = DELTA_FORMATS.find((one) => one === named)
    if (format === undefined) {
      return yield* Result.fail(invalid(`format is one of ${DELTA_FORMATS.join(", ")}`))
    }
    const credentials = credentialsIn(request.headers["x-registry-auth"])
    const push = isPushed ? { credentials } : null
    return { sources, target, tag, format, push }
  })

const faultOf = (fault: unknown): ApiFault => {
  if (fault instanceof ImageNameFault) return unfound(fault)
  return fault instanceof DeltaFault ? invalid(fault.cause) : asFault(fault)
}

const make = (call: Call) =>
  Effect.gen(function*() {
    const wanted = yield* Effect.flatMap(attempt(() => wantedIn(call)), Effect.fromResult)
    const clock = yield* Clock.Clock
    const pushed = wanted.tag ?? withDefaultTag(Result.getOrElse(
      parseReference(wanted.target),
      () => Result.getOrThrow(parseReference("delta")),
    ))
    const lines = new DeltaLines(wanted.tag, pushed, () => clock.currentTimeMillisUnsafe())
    const values = yield* whenTold(
      (tell: (news: DeltaNews) => void) => Effect.mapError(makeDeltas(wanted, tell), faultOf),
      { news: (news: DeltaNews) => lines.news(news), end: () => [] },
    )
    return yield* jsonLines(call.request, values)
  })

export const deltaRoutes = [route("POST", "/images/delta", make)]
