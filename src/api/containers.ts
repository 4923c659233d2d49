import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { Events } from "../engine/events.ts"
import { RequestFault } from "../engine/faults.ts"
import { newId } from "../engine/names.ts"
import * as engine from "../engine/requests/container.ts"
import { containerIds, ContainerNameFault, viewContainer } from "../engine/views/container.ts"
import { type ImageView, viewImage } from "../engine/views/image.ts"
import {
  formatPlatform,
  machinePlatform,
  normalisePlatform,
  parsePlatform,
} from "../oci/platform.ts"
import { ApiFault, conflict, invalid, notFound, notYet } from "./faults.ts"
import { readJson } from "./json.ts"
import { queryBool, queryInt } from "./query.ts"
import { attempt, type Call, route } from "./route.ts"
import { agree, checkBody } from "./schema/agree.ts"
import { decodeGo } from "./schema/decode.ts"
import type { Defaults } from "./schema/defaults.ts"
import { CreateBody, UpdateBody } from "./schema/docker.ts"
import { nameOf, type Wish, worded } from "./schema/refusals.ts"
import { isLast, signalName, signalNumber } from "./schema/signals.ts"
import { updated } from "./schema/update.ts"
import { json, noContent } from "./stream.ts"

/** The container a call names. */
export const containerOf = (call: Call) => {
  const name = call.params["name"]!
  return Effect.mapError(viewContainer(name), (fault: ContainerNameFault) =>
    fault.reason === "notFound"
      ? notFound(`No such container: ${name}`)
      : invalid(`multiple IDs found with provided prefix: ${name}`))
}

/** What the engine refuses or cannot do, in Docker's words. */
const said = (wish: Wish, call: Call, id: string, name = "") => (fault: unknown): unknown => {
  const asked = call.params["name"] ?? ""
  if (fault instanceof RequestFault) return worded(fault, wish, { id, asked, name })
  if (fault instanceof engine.NotStarted) {
    const isItsOwn = fault.exitCode === 126 || fault.exitCode === 127
    return ApiFault.of(isItsOwn ? "invalidParameter" : "system", fault.cause)
  }
  if (fault instanceof engine.NotDone) {
    return ApiFault.of("system", `Cannot ${wish} container ${asked}: ${fault.cause}`)
  }
  return fault
}

/** Says what is no change of a container's state to whoever listens to events. */
export const tell = (action: string, id: string, extra: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function*() {
    const events = yield* Events
    events.tell(action, id, extra, yield* Clock.currentTimeMillis)
  })

/** The body of a create: none at all is a mistake, `null` an empty one. */
const createBody = (call: Call) =>
  Effect.flatMap(readJson(call.request), (value) =>
    value === undefined
      ? Effect.fail(invalid("invalid JSON: got EOF while reading request body"))
      : attempt(() => readCreate(value) ?? {}))
const readCreate = decodeGo(CreateBody, "CreateRequest")

const create = (defaults: Defaults) => (call: Call) =>
  Effect.gen(function*() {
    const body = yield* createBody(call)
    const asked = call.query.get("name") ?? ""
    const name = yield* attempt(() => (asked === "" ? "" : nameOf(asked)))
    yield* attempt(() => checkBody(body, defaults))
    const imageName = body.Image ?? ""
    if (imageName === "") return yield* invalid("No command specified")
    const image = yield* Effect.mapError(viewImage(imageName), ({ reason, cause }) =>
      reason === "malformed" ? invalid(cause) : notFound(`No such image: ${tagged(imageName)}`))
    yield* attempt(() => checkPlatform(call.query.get("platform") ?? "", imageName, image))
    const id = yield* newId
    const resolve = yield* containerIds
    const from = { id: image.row.id, name: imageName, defaults: image.config.config }
    const { terms, given, warnings } = yield* attempt(() =>
      agree(body, from, id, defaults, resolve)
    )
    const creation = { id, name, image: image.row.id, imageName, terms, given }
    yield* Effect.mapError(engine.createContainer(creation), (fault) =>
      fault instanceof engine.SourceMissing
        ? invalid(
          `invalid mount config for type "bind": bind source path does not exist: ${fault.path}`,
        )
        : said("create", call, id, name)(fault))
    return json({ Id: id, Warnings: warnings }, 201)
  })

/** Refuses an image of another platform than is asked for: the client then pulls the right one. */
function checkPlatform(asked: string, name: string, { config }: ImageView): void {
  if (asked === "") return
  const wanted = parsePlatform(asked, machinePlatform)
  if (wanted === null) throw invalid(`${JSON.stringify(asked)}: invalid platform`)
  const { os, architecture, variant } = config
  const actual = normalisePlatform({ os: os || "linux", architecture, variant })
  const fits = wanted.os === actual.os && wanted.architecture === actual.architecture &&
    (wanted.variant === actual.variant || actual.variant === "")
  if (!fits) {
    throw notFound(
      `image with reference ${name} was found but does not match the specified platform: ` +
        `wanted ${formatPlatform(wanted)}, actual: ${formatPlatform(actual)}`,
    )
  }
}

/** Docker says which tag it looked for. */
const tagged = (name: string): string =>
  /[@:][^/]*$/.test(name) || /^[0-9a-f]{64}$/.test(name) ? name : `${name}:latest`

const start = (call: Call) =>
  Effect.gen(function*() {
    if (Number(call.request.headers["content-length"] ?? 0) > 7) {
      return yield* invalid(
        "starting container with non-empty request body was deprecated since API v1.22 "
          + "and removed in v1.24",
      )
    }
    if (call.query.get("checkpoint")) return yield* notYet("starting from a checkpoint")
    const { id } = yield* containerOf(call)
    yield* Effect.mapError(engine.startContainer(id), said("start", call, id))
    return noContent
  })

/** `t` seconds; null: as agreed. */
const graceOf = (call: Call) =>
  attempt(() => {
    const text = call.query.get("t")
    return text === null || text === "" ? null : queryInt(call.query, "t", 0)
  })

const stop = (call: Call) =>
  Effect.gen(function*() {
    const grace = yield* graceOf(call)
    const { id, terms } = yield* containerOf(call)
    const stopped = yield* Effect.mapError(
      engine.stopContainer(id, terms, grace),
      said("stop", call, id),
    )
    return stopped ? noContent : yield* ApiFault.of("notModified", "")
  })

const restart = (call: Call) =>
  Effect.gen(function*() {
    const grace = yield* graceOf(call)
    const { id, terms } = yield* containerOf(call)
    yield* Effect.mapError(engine.restartContainer(id, terms, grace), said("restart", call, id))
    yield* tell("restart", id)
    return noContent
  })

const SIGKILL = 9

const kill = (call: Call) =>
  Effect.gen(function*() {
    const text = call.query.get("signal") || "SIGKILL"
    const number = yield* attempt(() => signalNumber(text))
    const { id, terms } = yield* Effect.mapError(containerOf(call), (fault) =>
      ApiFault.of(
        fault.category,
        `Cannot kill container: ${call.params["name"]}: ${fault.message}`,
      ))
    const last = isLast(number, signalNumber(terms.stopSignal))
    const deadly = number === SIGKILL
    yield* Effect.mapError(
      engine.killContainer(id, signalName(String(number)), { last, deadly }),
      said("kill", call, id),
    )
    return noContent
  })

const pause = (call: Call) =>
  Effect.gen(function*() {
    const { id } = yield* containerOf(call)
    yield* Effect.mapError(engine.pauseContainer(id), said("pause", call, id))
    return noContent
  })

const unpause = (call: Call) =>
  Effect.gen(function*() {
    const { id } = yield* containerOf(call)
    yield* Effect.mapError(engine.unpauseContainer(id), said("unpause", call, id))
    return noContent
  })

const rename = (call: Call) =>
  Effect.gen(function*() {
    const asked = call.query.get("name") ?? ""
    if (asked === "") return yield* invalid("Neither old nor new names may be empty")
    const { id, name: old } = yield* containerOf(call)
    const name = yield* Effect.mapError(
      attempt(() => nameOf(asked, `/${asked.replace(/^\//, "")}`)),
      (fault) => ApiFault.of(fault.category, `Error when allocating new name: ${fault.message}`),
    )
    if (name === old) {
      return yield* invalid("Renaming a container with the same name as its current name")
    }
    yield* Effect.mapError(engine.renameContainer(id, name), said("rename", call, id, name))
    return noContent
  })

const remove = (call: Call) =>
  Effect.gen(function*() {
    if (queryBool(call.query, "link")) return yield* notYet("removing a link between containers")
    const { id } = yield* containerOf(call)
    const force = queryBool(call.query, "force")
    yield* Effect.mapError(engine.removeContainer(id, force), said("remove", call, id))
    return noContent
  })

const readUpdate = decodeGo(UpdateBody, "UpdateConfig")

const update = (defaults: Defaults) => (call: Call) =>
  Effect.gen(function*() {
    const value = yield* readJson(call.request)
    const body = yield* attempt(() => readUpdate(value) ?? {})
    const view = yield* containerOf(call)
    if (view.status === "removing" || view.status === "dead") {
      const why = 'container is marked for removal and cannot be "update"'
      return yield* conflict(`Cannot update container ${view.id}: ${why}`)
    }
    const { terms, given } = yield* attempt(() => updated(view, body, defaults))
    yield* Effect.mapError(
      engine.updateContainer(view.id, terms, given, defaults),
      said("update", call, view.id),
    )
    return json({ Warnings: null })
  })

const resize = (call: Call) =>
  Effect.gen(function*() {
    const [height, width] = yield* attempt(() => [size(call, "h"), size(call, "w")] as const)
    const { id } = yield* containerOf(call)
    yield* Effect.mapError(engine.resizeContainer(id, height, width), said("resize", call, id))
    yield* tell("resize", id, { height: String(height), width: String(width) })
    return json(null)
  })

const SIZE_MAX = 65_535

/** Rows or columns: what a terminal can have. Throws `ApiFault`. */
function size({ query }: Call, key: string): number {
  const value = queryInt(query, key, -1)
  if (value < 0 || value > SIZE_MAX) {
    const side = key === "h" ? "height" : "width"
    throw invalid(`invalid resize ${side} ${JSON.stringify(query.get(key) ?? "")}`)
  }
  return value
}

/** Routes that change one container. */
export const containerRoutes = (defaults: Defaults) => [
  route("POST", "/containers/create", create(defaults)),
  route("POST", "/containers/{name}/start", start),
  route("POST", "/containers/{name}/stop", stop),
  route("POST", "/containers/{name}/restart", restart),
  route("POST", "/containers/{name}/kill", kill),
  route("POST", "/containers/{name}/pause", pause),
  route("POST", "/containers/{name}/unpause", unpause),
  route("POST", "/containers/{name}/rename", rename),
  route("POST", "/containers/{name}/update", update(defaults)),
  route("POST", "/containers/{name}/resize", resize),
  route("DELETE", "/containers/{name}", remove),
]
