import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { Loop } from "../engine/loop.ts"
import { wordOf } from "../engine/living.ts"
import type { Transition } from "../engine/step.ts"
import {
  drawMachine,
  findMachine,
  historyOf,
  listMachines,
  meant,
  StoreView,
} from "../engine/views/debug.ts"
import { historyText, machinesText, machineText } from "../engine/views/debug-text.ts"
import { ApiFault, invalid, notFound } from "./faults.ts"
import { queryBool, queryInt } from "./query.ts"
import { attempt, type Call, route } from "./route.ts"
import { json, noContent, streamed } from "./stream.ts"

const FORMATS = ["text", "json", "mermaid", "dot"] as const

const asked = ({ query }: Call) =>
  attempt(() => {
    const format = FORMATS.find((one) => one === (query.get("format") ?? "json"))
    if (format === undefined) throw invalid(`unknown format: one of ${FORMATS.join(", ")}`)
    const at = query.get("at") === null ? undefined : queryInt(query, "at", 0)
    return { format, at, follow: queryBool(query, "follow") }
  })

const text = (body: string) =>
  HttpServerResponse.text(body, { contentType: "text/plain; charset=utf-8" })

/** What is sent of a transition to whoever follows. */
const lineOf = ({ seq, address, event, snapshot, at }: Transition, format: string): string => {
  const { row: _, ...shown } = event as Record<string, unknown>
  const state = wordOf(snapshot.value)
  if (format === "json") {
    return JSON.stringify({ seq, address, event: shown, state, wallMs: at.wallMs })
  }
  return `${new Date(at.wallMs).toISOString()}  ${seq}  ${address}  ${event.type} -> ${state}`
}

/** Every transition from now on, of one machine or of all. */
const following = (call: Call, format: string, address: string | null) =>
  Effect.gen(function*() {
    const loop = yield* Loop
    const queue = yield* Queue.unbounded<string, Cause.Done>()
    const stop = loop.listen((transition) => {
      if (address !== null && transition.address !== address) return
      Queue.offerUnsafe(queue, `${lineOf(transition, format)}\n`)
    })
    yield* Effect.addFinalizer(() => Effect.sync(stop))
    const type = format === "json" ? "application/json" : "text/plain; charset=utf-8"
    return yield* streamed(call.request, type, Stream.encodeText(Stream.fromQueue(queue)))
  })

const list = (call: Call) =>
  Effect.gen(function*() {
    const { format, follow } = yield* asked(call)
    if (follow) return yield* following(call, format, null)
    const machines = listMachines(yield* StoreView)
    return format === "json" ? json(machines) : text(machinesText(machines))
  })

/** The machine that a call means, and the store that knows of it. */
const asks = ({ params }: Call) =>
  Effect.gen(function*() {
    const words = params["address"]!
    const store = yield* StoreView
    const address = meant(store, words)
    if (address === null) return yield* Effect.fail(notFound(`no such machine: ${words}`))
    return { store, address }
  })

const history = (call: Call) =>
  Effect.gen(function*() {
    const { format, at, follow } = yield* asked(call)
    const { store, address } = yield* asks(call)
    if (follow) return yield* following(call, format, address)
    const lines = historyOf(store, address, at)
    return format === "json" ? json(lines) : text(historyText(lines))
  })

const show = (call: Call) =>
  Effect.gen(function*() {
    const { format, at, follow } = yield* asked(call)
    const { store, address } = yield* asks(call)
    if (follow) return yield* following(call, format, address)
    const machine = findMachine(store, address)
    if (format === "json") return json(machine ?? { address, state: "ended" })
    const drawing = drawMachine(store, address, format, at)
    if (format !== "text") return text(drawing)
    const standing = machine === undefined ? `${address}: ended\n` : machineText(machine)
    return text(`${standing}\n${drawing}`)
  })

/** Feeds a machine again that had met a defect; 304 where it had not. */
const retry = (call: Call) =>
  Effect.gen(function*() {
    const address = call.params["address"]!
    const loop = yield* Loop
    const living = loop.living().get(address)
    if (living === undefined) return yield* Effect.fail(notFound(`no such machine: ${address}`))
    if (living.quarantine === null) return yield* ApiFault.of("notModified", "")
    yield* loop.retry(address)
    return noContent
  })

/** `balena debug machines`: looks, and never tells a word of what a container was given. */
export const debugRoutes = [
  route("POST", "/debug/machines/{address}/retry", retry),
  route("GET", "/debug/machines", list),
  route("GET", "/debug/machines/{address}/history", history),
  route("GET", "/debug/machines/{address}", show),
]
