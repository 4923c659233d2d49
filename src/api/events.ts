import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { Events, type EngineEvent } from "../engine/events.ts"
import { invalid } from "./faults.ts"
import { labelsMatch, queryFilters, type Filters } from "./query.ts"
import { attempt, type Call, route } from "./route.ts"
import { jsonLines } from "./stream.ts"
import { timeOf } from "./time.ts"

/** An event as Docker says it, with the old fields that supervisors still read. */
const shown = ({ type, action, id, attributes, wallMs }: EngineEvent) => {
  const legacy = type === "container" || type === "image"
  const from = type === "container" ? attributes["image"] : undefined
  return {
    ...(legacy ? { status: action, id } : {}),
    ...(from === undefined ? {} : { from }),
    Type: type,
    Action: action,
    Actor: { ID: id, Attributes: attributes },
    scope: "local",
    time: Math.floor(wallMs / 1000),
    timeNano: wallMs * 1_000_000,
  }
}

const anyOf = (
  filters: Filters,
  name: string,
  values: readonly (string | undefined)[],
): boolean => {
  const wanted = filters.get(name)
  return wanted === undefined ||
    values.some((value) => value !== undefined && wanted.includes(value))
}

const passes = (filters: Filters, { type, action, id, attributes }: EngineEvent): boolean =>
  anyOf(filters, "type", [type]) &&
  anyOf(filters, "event", [action, action.split(":")[0]]) &&
  (!filters.has("container") ||
    (type === "container" && (anyOf(filters, "container", [id, attributes["name"]]) ||
      filters.get("container")!.some((prefix) => id.startsWith(prefix))))) &&
  (!filters.has("image") ||
    anyOf(filters, "image", [id, attributes["name"], attributes["image"]])) &&
  labelsMatch(attributes, filters.get("label"))

const listen = (call: Call) =>
  Effect.gen(function*() {
    const { query, request } = call
    const filters = yield* attempt(() => queryFilters(query, null))
    const now = yield* Effect.map(Effect.clockWith((clock) => clock.currentTimeMillis), Number)
    const since = yield* attempt(() => timeOf(query.get("since"), now))
    const until = yield* attempt(() => timeOf(query.get("until"), now))
    if (since !== null && until !== null && until < since) {
      const [from, to] = [since, until].map((ms) => Math.floor(ms / 1000))
      return yield* invalid(`\`since\` time (${from}) cannot be after \`until\` time (${to})`)
    }
    const events = yield* Events
    const queue = yield* Queue.unbounded<EngineEvent, Cause.Done>()
    const kept = since === null ? [] : events.since(since)
    const stop = events.listen((event) => Queue.offerUnsafe(queue, event))
    yield* Effect.addFinalizer(() => Effect.sync(stop))
    if (until !== null) {
      yield* Effect.forkScoped(Effect.andThen(
        Effect.sleep(Math.max(0, until - now)),
        Effect.sync(() => Queue.endUnsafe(queue)),
      ))
    }
    const all = Stream.concat(Stream.fromIterable(kept), Stream.fromQueue(queue))
    const due = (event: EngineEvent) => until === null || event.wallMs <= until
    return yield* jsonLines(
      request,
      Stream.map(Stream.filter(all, (event) => due(event) && passes(filters, event)), shown),
    )
  })

export const eventRoutes = [route("GET", "/events", listen)]
