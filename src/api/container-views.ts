import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as engine from "../engine/requests/container.ts"
import { changesOf } from "../engine/views/changes.ts"
import { sizesOf } from "../engine/views/sizes.ts"
import { type ContainerView, listContainers, viewContainer } from "../engine/views/container.ts"
import { findImage } from "../engine/views/image.ts"
import { statsOf } from "../engine/views/stats.ts"
import { processesOf, TopFault } from "../engine/views/top.ts"
import { containerOf } from "./containers.ts"
import { ApiFault, conflict } from "./faults.ts"
import { labelsMatch, queryBool, queryFilters, queryInt } from "./query.ts"
import { attempt, type Call, route } from "./route.ts"
import { CONTAINER_FILTERS, containerFilter, meansAll } from "./schema/filters.ts"
import { inspected } from "./schema/inspect.ts"
import { listed } from "./schema/list.ts"
import { statsLine } from "./schema/stats.ts"
import { json, jsonLines } from "./stream.ts"
import { timeOf } from "./time.ts"

/** What each name leads to, asked once per name. */
const imagesBy = Effect.fnUntraced(function*(names: Iterable<string>) {
  const found = new Map<string, string | null>()
  for (const name of new Set(names)) {
    const image = yield* Effect.match(findImage(name), {
      onFailure: () => null,
      onSuccess: ({ imageId }) => imageId,
    })
    found.set(name, image)
  }
  return (name: string) => found.get(name) ?? null
})

const list = (call: Call) =>
  Effect.gen(function*() {
    const { query } = call
    const filters = yield* attempt(() => queryFilters(query, CONTAINER_FILTERS))
    const limit = yield* attempt(() => queryInt(query, "limit", -1))
    const all = yield* listContainers
    const ancestors = filters.get("ancestor") ?? []
    const imageOf = yield* imagesBy([...all.map((view) => view.imageName), ...ancestors])
    const container = (asked: string) => {
      const plain = asked.replace(/^\//, "")
      return all.find(({ id, name }) => name === plain || id.startsWith(plain)) ?? null
    }
    const test = yield* attempt(() => containerFilter(filters, { imageOf, container }))
    const wantsAll = queryBool(query, "all") || limit > 0 || meansAll(filters)
    const shown = all
      .filter((view) => wantsAll || ["running", "paused", "restarting"].includes(view.status))
      .filter(test)
      .slice(0, limit > 0 ? limit : undefined)
    const now = yield* Clock.currentTimeMillis
    const withSizes = queryBool(query, "size")
    // An image that has lost this name is called by its ID, as nothing else leads to it.
    const nameOf = ({ image, imageName }: ContainerView) =>
      imageOf(imageName) === image ? imageName : image
    return json(yield* Effect.all(shown.map((view) =>
      Effect.map(withSizes ? sizesOf(view) : Effect.succeed(null), (sizes) =>
        listed(view, nameOf(view), now, sizes))
    )))
  })

const inspect = (call: Call) =>
  Effect.gen(function*() {
    const view = yield* containerOf(call)
    if (!queryBool(call.query, "size")) return json(inspected(view))
    const { own, whole } = yield* sizesOf(view)
    return json({ ...inspected(view), SizeRw: own, SizeRootFs: whole })
  })

/** Arguments as a shell would part them: Docker parts at blanks, and so do we. */
const wordsOf = (text: string): string[] => text.trim().split(/\s+/).filter((word) => word !== "")

const top = (call: Call) =>
  Effect.gen(function*() {
    const view = yield* containerOf(call)
    const { id, status } = view
    if (status === "restarting") {
      return yield* conflict(`Container ${id} is restarting, wait until the container is running`)
    }
    if (status !== "running" && status !== "paused") {
      return yield* conflict(`Container ${id} is not running`)
    }
    const args = wordsOf(call.query.get("ps_args") || "-ef")
    const { titles, rows } = yield* Effect.mapError(processesOf(id, args), (fault) =>
      fault instanceof TopFault ? ApiFault.of("system", fault.cause) : fault)
    return json({ Processes: rows, Titles: titles })
  })

const PRUNE_FILTERS = ["label", "label!", "until"]

const prune = (call: Call) =>
  Effect.gen(function*() {
    const filters = yield* attempt(() => queryFilters(call.query, PRUNE_FILTERS))
    const now = yield* Clock.currentTimeMillis
    const until = yield* attempt(() => timeOf(filters.get("until")?.[0] ?? null, now))
    const without = filters.get("label!") ?? []
    const idle = (view: ContainerView) =>
      ["created", "exited", "dead"].includes(view.status) &&
      (until === null || view.createdMs < until) &&
      labelsMatch(view.terms.labels, filters.get("label")) &&
      !without.some((label) => labelsMatch(view.terms.labels, [label]))
    const removed: string[] = []
    let bytes = 0
    for (const view of (yield* listContainers).filter(idle)) {
      const { own } = yield* sizesOf(view)
      // One that was started or removed meanwhile is none of ours any more.
      const gone = yield* Effect.match(engine.removeContainer(view.id, false), {
        onFailure: () => false,
        onSuccess: () => true,
      })
      if (!gone) continue
      removed.push(view.id)
      bytes += own
    }
    return json({ ContainersDeleted: removed.length === 0 ? null : removed, SpaceReclaimed: bytes })
  })

/** How far apart two samples are. */
const SAMPLE_EVERY = "1 second"

const stats = (call: Call) =>
  Effect.gen(function*() {
    const { query, request } = call
    const { id } = yield* containerOf(call)
    // Asked anew each time: it may be stopped, started and renamed meanwhile.
    const sample = Effect.gen(function*() {
      const view = yield* viewContainer(id)
      return { view, usage: yield* statsOf(view), ms: yield* Clock.currentTimeMillis }
    })
    type Sampled = Effect.Success<typeof sample>
    const shown = (now: Sampled, before: Sampled | null) =>
      statsLine(id, now.view.name, now, before)
    if (!queryBool(query, "stream", true)) {
      const first = yield* sample
      if (queryBool(query, "one-shot") || first.usage === null) return json(shown(first, null))
      return json(shown(yield* Effect.delay(sample, SAMPLE_EVERY), first))
    }
    const steps = Stream.unfold(null as Sampled | null, (before) =>
      Effect.map(
        before === null ? sample : Effect.delay(sample, SAMPLE_EVERY),
        (now) => [shown(now, before), now] as const,
      ))
    const untilGone = Stream.catchCause(steps, () => Stream.empty)
    return yield* jsonLines(request, untilGone)
  })

const CHANGE_KINDS = { changed: 0, added: 1, removed: 2 } as const

const changes = (call: Call) =>
  Effect.gen(function*() {
    const all = yield* changesOf(yield* containerOf(call))
    const shown = all.map(({ path, kind }) => ({ Path: path, Kind: CHANGE_KINDS[kind] }))
    return json(shown.length === 0 ? null : shown)
  })

/** Routes that look at containers, or at all of them. */
export const containerViewRoutes = [
  route("GET", "/containers/json", list),
  route("POST", "/containers/prune", prune),
  route("GET", "/containers/{name}/json", inspect),
  route("GET", "/containers/{name}/top", top),
  route("GET", "/containers/{name}/changes", changes),
  route("GET", "/containers/{name}/stats", stats),
]
