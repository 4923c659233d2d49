import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { createServer, type Server } from "node:http"
import type { ListenOptions, Socket } from "node:net"
import { ApiFault, asFault, faultResponse, invalid, notFound } from "./faults.ts"
import { acceptHijacks, shouldUpgradeCallback } from "./hijack.ts"
import { compile, type Route } from "./route.ts"
import { API_VERSION, ENGINE_VERSION, negotiate } from "./version.ts"

/** Where to listen. What a socket's file needs is done by whoever may touch the file system. */
export interface Listener {
  /** As people write it: `unix:///run/x.sock`. */
  readonly name: string
  readonly listen: ListenOptions | { readonly fd: number }
  /** Makes room: removes the socket a dead daemon left behind. */
  readonly before?: Effect.Effect<void, ListenFault>
  /** Once it is bound: owner and mode. */
  readonly bound?: Effect.Effect<void, ListenFault>
}

/** An address that cannot be listened on. */
export class ListenFault extends Schema.TaggedError<ListenFault>()("ListenFault", {
  name: Schema.String,
  cause: Schema.String,
}) {
  override get message(): string {
    return `cannot listen on ${this.name}: ${this.cause}`
  }
}

const IDENTITY = {
  "api-version": API_VERSION,
  "docker-experimental": "false",
  ostype: "linux",
  server: `balena-engine/${ENGINE_VERSION} (linux)`,
}

/** Room for what clients put into a header: credentials may be a token of many kilobytes. */
const HEADER_BYTES_MAX = 128 * 1024

/**
 * Serves the routes on every listener until the scope closes: then it takes no more, interrupts
 * what is still being answered, and closes the connections. `heard` is called with each request.
 */
export const serve = Effect.fnUntraced(function*<R>(
  routes: readonly Route<R>[],
  listeners: readonly Listener[],
  heard: () => void = () => {},
) {
  const scope = yield* Effect.scope
  const servers: Server[] = []
  const connections = new Set<Socket>()
  // In reverse: what is added first is done last.
  yield* Scope.addFinalizer(scope, goodbye(servers, connections))
  const calls = yield* Scope.fork(scope, "parallel")
  yield* Scope.addFinalizer(scope, Effect.sync(() => servers.forEach((server) => server.close())))
  const handler = yield* NodeHttpServer.makeHandler(answering(routes), { scope: calls })
  for (const listener of listeners) {
    const server = createServer({
      shouldUpgradeCallback,
      maxHeaderSize: HEADER_BYTES_MAX,
      requestTimeout: 0, // an image may take longer than any limit to come in
      keepAliveTimeout: 0, // as Go's: the client decides
    })
    server.on("connection", (socket) => {
      connections.add(socket)
      socket.once("close", () => connections.delete(socket))
    })
    server.on("request", heard)
    server.on("request", handler)
    acceptHijacks(server, handler)
    yield* bind(server, listener)
    servers.push(server)
  }
})

const bind = Effect.fnUntraced(function*(server: Server, listener: Listener) {
  const { name, listen, before, bound } = listener
  yield* before ?? Effect.void
  yield* Effect.callback<void, ListenFault>((resume) => {
    const failed = (error: Error) =>
      resume(Effect.fail(new ListenFault({ name, cause: error.message })))
    server.once("error", failed)
    server.listen(listen, () => {
      server.off("error", failed)
      resume(Effect.void)
    })
  })
  yield* bound ?? Effect.void
})

/** What was being answered has ended by now: what is open still is idle, or nobody reads it. */
const goodbye = (servers: readonly Server[], connections: ReadonlySet<Socket>) =>
  Effect.suspend(() => {
    for (const socket of connections) socket.destroy()
    return Effect.forEach(servers, closed, { discard: true })
  })

const closed = (server: Server): Effect.Effect<void> =>
  Effect.callback((resume) => {
    server.close(() => resume(Effect.void)) // answers also for one that is closed already
  })

/** The whole API as one Effect: finds the route, answers, or words the fault. */
function answering<R>(routes: readonly Route<R>[]) {
  const find = compile(routes)
  return Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const answer = yield* Effect.interruptible(dispatch(request, find)).pipe(
      Effect.catchCause(worded),
    )
    return HttpServerResponse.setHeaders(answer, IDENTITY)
  })
}

const dispatch = <R>(
  request: HttpServerRequest.HttpServerRequest,
  find: ReturnType<typeof compile<R>>,
) =>
  Effect.suspend(() => {
    const mark = request.url.indexOf("?")
    const path = decoded(mark < 0 ? request.url : request.url.slice(0, mark))
    if (path === undefined) return Effect.fail(invalid("invalid URL escape"))
    const match = find(request.method, path)
    if (match === undefined) return Effect.fail(notFound("page not found"))
    const version = negotiate(match.version)
    if (version instanceof ApiFault) return Effect.fail(version)
    const query = new URLSearchParams(mark < 0 ? "" : request.url.slice(mark + 1))
    return match.handler({ request, version, params: match.params, query })
  })

/** The path as it is meant: unescaped, without doubled slashes (`/containers//name/json`). */
function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path).replace(/\/{2,}/g, "/")
  } catch {
    return undefined
  }
}

/** A fault as an answer. Interruption is no fault: the client is gone, or the engine goes down. */
const worded = (cause: Cause.Cause<unknown>) => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
  const answer = Effect.succeed(faultResponse(asFault(Cause.squash(cause))))
  return Cause.hasDies(cause)
    ? Effect.andThen(Effect.logError("a request met a defect", cause), answer)
    : answer
}
