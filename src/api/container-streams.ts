import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { Duplex } from "node:stream"
import { attachTo } from "../engine/flows/attach.ts"
import { logsOf, type LogsWanted } from "../engine/flows/logs.ts"
import type { LogMessage } from "../engine/flows/log-lines.ts"
import { type WaitCondition, waitFor } from "../engine/flows/wait.ts"
import type { ContainerView } from "../engine/views/container.ts"
import { containerOf, tell } from "./containers.ts"
import { detachKeys, DetachWatch } from "./detach.ts"
import { ApiFault, conflict, invalid } from "./faults.ts"
import { hijack, streamType } from "./hijack.ts"
import { queryBool } from "./query.ts"
import { attempt, type Call, route } from "./route.ts"
import { frame, jsonLines, streamed } from "./stream.ts"
import { nanosOfQuery } from "./log-time.ts"
import { detailsOf } from "./schema/log-details.ts"

type Attachment = Effect.Success<ReturnType<typeof attachTo>>["attachment"]

interface Wanted {
  readonly stdin: boolean
  readonly stdout: boolean
  readonly stderr: boolean
  readonly terminal: boolean
  /** The container's stdin ends with this client's. */
  readonly once: boolean
  readonly keys: readonly number[]
}

/** Carries bytes both ways until the container's output ends, or the client wants no more. */
const pump = (attachment: Attachment, socket: Duplex, wanted: Wanted, seen: () => void) =>
  Effect.callback<void>((resume) => {
    const done = () => resume(Effect.void)
    attachment.read((stream, data) => {
      if (stream === 1 ? !wanted.stdout : !wanted.stderr) return true
      const more = socket.write(wanted.terminal ? data : frame(stream, data))
      if (!more) socket.once("drain", () => attachment.resume())
      return more
    }, () => {
      seen()
      done()
    })
    if (!wanted.stdin) {
      socket.resume() // its end is heard, its words are not
      return
    }
    const watch = wanted.terminal ? new DetachWatch(wanted.keys) : null
    socket.on("data", (bytes: Buffer) => {
      const typed = watch === null ? bytes : watch.take(bytes)
      if (typed === null) return done()
      if (!attachment.write(typed, () => socket.resume())) socket.pause()
    })
    const onEnd = () => {
      if (wanted.once && !wanted.terminal) attachment.closeStdin()
      else done() // as dockerd: who takes stdin only for a while leaves with it
    }
    // It may have ended before the container began, with not a byte sent.
    if (socket.readableEnded) onEnd()
    else socket.on("end", onEnd)
  })

const EVERYTHING = { sinceNs: null, untilNs: null, tail: null, follow: false }

/** What the container has written before now, in front of what it writes from now on. */
const replay = (view: ContainerView, socket: Duplex, wanted: Wanted) =>
  Effect.gen(function*() {
    const { stdout, stderr, terminal } = wanted
    const all: LogsWanted = { ...EVERYTHING, stdout, stderr }
    const messages = yield* logsOf(view.id, view.home, all)
    const write = ({ stream, data }: LogMessage) =>
      Effect.callback<void>((resume) => {
        const more = socket.write(terminal ? data : frame(stream, data))
        if (more) resume(Effect.void)
        else socket.once("drain", () => resume(Effect.void))
      })
    yield* Stream.runForEach(messages, (some) => Effect.forEach(some, write, { discard: true }))
  })

const attach = (call: Call) =>
  Effect.gen(function*() {
    const { query } = call
    const keys = yield* attempt(() => detachKeys(query.get("detachKeys")))
    const view = yield* containerOf(call)
    const { id, terms, status } = view
    const name = call.params["name"]
    if (status === "paused") {
      return yield* conflict(`container ${name} is paused, unpause the container before attach`)
    }
    if (status === "restarting") {
      return yield* conflict(`container ${name} is restarting, wait until the container is running`)
    }
    const wanted: Wanted = {
      stdin: queryBool(query, "stdin") && terms.stdin,
      stdout: queryBool(query, "stdout"),
      stderr: queryBool(query, "stderr"),
      terminal: terms.terminal,
      once: terms.stdinOnce,
      keys,
    }
    const live = queryBool(query, "stream")
    const past = queryBool(query, "logs")
    yield* tell("attach", id)
    return yield* hijack(call, terms.terminal, (socket) =>
      Effect.scoped(Effect.gen(function*() {
        // Connected first: what is written while the past is told waits in the connection.
        const connecting = live ? yield* Effect.forkScoped(attachTo(id)) : null
        if (past) yield* replay(view, socket, wanted)
        if (connecting === null) return
        const { attachment, seen } = yield* Fiber.join(connecting)
        yield* pump(attachment, socket, wanted, seen)
      })))
  })

const WAIT_CONDITIONS: readonly string[] = ["not-running", "next-exit", "removed"]

const wait = (call: Call) =>
  Effect.gen(function*() {
    const condition = call.query.get("condition") || "not-running"
    if (!WAIT_CONDITIONS.includes(condition)) {
      return yield* invalid(`invalid condition: ${JSON.stringify(condition)}`)
    }
    const { id } = yield* containerOf(call)
    const ended = yield* waitFor(id, condition as WaitCondition)
    const answer = Effect.map(ended, (StatusCode) => ({ Error: null, StatusCode }))
    return yield* jsonLines(call.request, Stream.fromEffect(answer))
  })

/** How many of the last messages; null: all, and so for what is no number. */
const tailOf = (text: string | null): number | null =>
  text !== null && /^\d+$/.test(text) ? Number(text) : null

const logs = (call: Call) =>
  Effect.gen(function*() {
    const { query } = call
    const [stdout, stderr] = [queryBool(query, "stdout"), queryBool(query, "stderr")]
    if (!stdout && !stderr) {
      return yield* invalid("Bad parameters: you must choose at least one stream")
    }
    const now = yield* Clock.currentTimeMillis
    const wanted = yield* attempt((): LogsWanted => ({
      stdout,
      stderr,
      sinceNs: nanosOfQuery(query, "since", now),
      untilNs: nanosOfQuery(query, "until", now),
      tail: tailOf(query.get("tail")),
      follow: queryBool(query, "follow"),
    }))
    const view = yield* containerOf(call)
    if (view.terms.log.driver === "none") {
      const why = "configured logging driver does not support reading"
      return yield* ApiFault.of("notImplemented", why)
    }
    const shown = shower(view.terms.terminal, {
      times: queryBool(query, "timestamps"),
      details: queryBool(query, "details") ? `${detailsOf(view.terms)} ` : "",
    })
    const messages = yield* logsOf(view.id, view.home, wanted)
    const bytes = Stream.map(messages, (some) => Buffer.concat(some.map(shown)))
    return yield* streamed(call.request, streamType(call.version, view.terms.terminal), bytes)
  })

/** A message as it is sent: behind what is asked for, and in a frame unless it is a terminal's. */
const shower = (terminal: boolean, { times, details }: { times: boolean; details: string }) => {
  const head = (message: LogMessage) => `${times ? `${message.time} ` : ""}${details}`
  return (message: LogMessage): Buffer => {
    const begins = head(message)
    const data = begins === "" ? message.data : Buffer.concat([Buffer.from(begins), message.data])
    return terminal ? data : frame(message.stream, data)
  }
}

/** Routes whose answer is a stream: what a container says, and when it ends. */
export const containerStreamRoutes = [
  route("POST", "/containers/{name}/attach", attach),
  route("POST", "/containers/{name}/wait", wait),
  route("GET", "/containers/{name}/logs", logs),
]
