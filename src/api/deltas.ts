import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import {
  type DeltaNews, type MadeDelta, makeDelta, type WantedDelta,
} from "../engine/requests/delta.ts"
import type { ImageNameFault } from "../engine/views/image.ts"
import {
  familiarReference, parseReference, type Reference, withDefaultTag,
} from "../oci/reference.ts"
import { ApiFault, asFault, invalid } from "./faults.ts"
import { named } from "./images.ts"
import { humanSize, type Line, moving, shortOf } from "./progress.ts"
import { type Call, route } from "./route.ts"
import { jsonLines } from "./stream.ts"
import { whenTold } from "./told.ts"

/** What balenaEngine's clients read while a delta is made. */
class DeltaLines {
  readonly #source: string
  readonly #tag: Reference | null
  readonly #sinceMs: number
  readonly #now: () => number
  #layers: readonly string[] = []
  readonly #complete = new Set<number>()

  constructor({ source, tag }: WantedDelta, now: () => number) {
    this.#source = source
    this.#tag = tag
    this.#now = now
    this.#sinceMs = now()
  }

  news(news: DeltaNews): readonly Line[] {
    if (news.kind === "begun") {
      this.#layers = news.layers.map(shortOf)
      return [{ status: "Fingerprinting", progressDetail: {}, id: this.#source }]
    }
    const { part, current, total } = news
    if (this.#complete.has(part)) return []
    if (current === total) this.#complete.add(part)
    if (part === 0) return this.#fingerprint(current, total)
    const id = this.#layers[part - 1]!
    if (total === 0) return [{ status: "Skipping common layer", progressDetail: {}, id }]
    if (current < total) return [moving("Computing delta", id, current, total)]
    return [{ status: "Delta complete", progressDetail: {}, id }]
  }

  end({ imageId, normalBytes, deltaBytes }: MadeDelta): readonly Line[] {
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

const make = ({ query, request }: Call) =>
  Effect.gen(function*() {
    const [source, target] = [query.get("src") ?? "", query.get("dest") ?? ""]
    if (source === "" || target === "") {
      return yield* Effect.fail(invalid("both src and dest must name an image"))
    }
    const tag = yield* Effect.fromResult(tagOf(query.get("t") ?? ""))
    const clock = yield* Clock.Clock
    const wanted = { source, target, tag }
    const lines = new DeltaLines(wanted, () => clock.currentTimeMillisUnsafe())
    const values = yield* whenTold(
      (tell: (news: DeltaNews) => void) =>
        Effect.mapError(makeDelta(wanted, tell), (fault) =>
          fault._tag === "ImageNameFault" ? unfound(fault) : asFault(fault)),
      { news: (news: DeltaNews) => lines.news(news), end: (made) => lines.end(made) },
    )
    return yield* jsonLines(request, values)
  })

export const deltaRoutes = [route("POST", "/images/delta", make)]
