import * as Effect from "effect/Effect"
import { containerOf } from "./containers.ts"
import { notFound, notYet } from "./faults.ts"
import { queryFilters } from "./query.ts"
import { attempt, type Call, type Method, route } from "./route.ts"
import { json } from "./stream.ts"

/** What is still to come, and how a person would call it. */
const MISSING: readonly (readonly [Method, string, string])[] = [
  ["GET", "/containers/{name}/attach/ws", "attaching by WebSocket"],
  ["POST", "/exec/{name}/start", "running a command in a container (exec)"],
  ["POST", "/exec/{name}/resize", "running a command in a container (exec)"],
  ["GET", "/exec/{name}/json", "running a command in a container (exec)"],
  ["POST", "/build", "building an image"],
  ["POST", "/build/prune", "building an image"],
  ["POST", "/build/cancel", "building an image"],
  ["POST", "/session", "building an image (BuildKit)"],
  ["POST", "/grpc", "building an image (BuildKit)"],
  ["POST", "/networks/create", "making a network"],
  ["POST", "/volumes/create", "making a volume"],
]

/** The same of one container, which must at least be there. */
const MISSING_OF_ONE: typeof MISSING = [
  ["POST", "/containers/{name}/exec", "running a command in a container (exec)"],
  ["GET", "/containers/{name}/archive", "copying out of a container"],
  ["HEAD", "/containers/{name}/archive", "copying out of a container"],
  ["PUT", "/containers/{name}/archive", "copying into a container"],
  ["GET", "/containers/{name}/export", "exporting a container"],
]

const ofOne = (what: string) => (call: Call) =>
  Effect.andThen(containerOf(call), Effect.fail(notYet(what)))

const commit = (call: Call) =>
  ofOne("committing a container")({
    ...call,
    params: { name: call.query.get("container") ?? "" },
  })

const noVolume = ({ params }: Call) =>
  Effect.fail(notFound(`get ${params["name"]}: no such volume`))

/** What there are none of, whatever is looked for: but only by filters that Docker knows. */
const noneOf = (filters: readonly string[], none: object) => (call: Call) =>
  Effect.map(attempt(() => queryFilters(call.query, filters)), () => json(none))

/** Routes that answer 501 and say what is missing; volumes can be looked for: there are none. */
export const missingRoutes = [
  ...MISSING.map(([method, path, what]) => route(method, path, () => Effect.fail(notYet(what)))),
  ...MISSING_OF_ONE.map(([method, path, what]) => route(method, path, ofOne(what))),
  route("POST", "/commit", commit),
  route("GET", "/volumes", noneOf(["dangling", "driver", "label", "name"], {
    Volumes: [],
    Warnings: null,
  })),
  route("POST", "/volumes/prune", noneOf(["all", "label", "label!"], {
    VolumesDeleted: null,
    SpaceReclaimed: 0,
  })),
  route("GET", "/volumes/{name}", noVolume),
  route("DELETE", "/volumes/{name}", noVolume),
]
