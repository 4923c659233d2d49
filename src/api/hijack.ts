import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { IncomingMessage, type Server, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { type ApiFault, invalid } from "./faults.ts"
import { speaks } from "./version.ts"

/**
 * Connections that stop being HTTP: attach and exec start. This is the one place that relies on
 * node:http rather than on Effect, as Docker has two ways and Effect knows neither wholly:
 * - `Connection: Upgrade`, answered 101. Only for these two calls: curl offers `h2c` on any path.
 * - the old one, without that header, answered 200: what follows the request is no HTTP any more,
 *   although the parser could not know. It is told, see `takeOver`.
 */
const HIJACKED = /^(?:\/v[0-9.]+)?\/+(?:containers\/.+\/attach|exec\/.+\/start)$/

const isHijack = (request: IncomingMessage): boolean =>
  request.method === "POST" && HIJACKED.test(request.url?.split("?", 1)[0] ?? "")

/** For `http.createServer`: what may be upgraded at all. */
export const shouldUpgradeCallback = isHijack

/** What became of a connection that may be hijacked. */
interface Line {
  readonly socket: Duplex
  /** What the stream runs over: often the same. */
  readonly connection: Socket
  /** Bytes that came behind the request, already taken off the socket. */
  readonly early: Buffer
  readonly upgraded: boolean
  readonly response: ServerResponse
  /** The request's body, where we had to frame it ourselves. */
  readonly body: string | undefined
}
const lines = new WeakMap<IncomingMessage, Line>()
const lineOf = (request: HttpServerRequest.HttpServerRequest): Line | undefined =>
  lines.get(request.source as IncomingMessage)

/** The body of an old-style hijack, which the parser left to us; undefined: read it as usual. */
export const bodyOfHijacked = (request: HttpServerRequest.HttpServerRequest): string | undefined =>
  lineOf(request)?.body

type Handler = (request: IncomingMessage, response: ServerResponse) => void

/** Hands every connection to be hijacked to `handler`, with a response it may still answer by. */
export function acceptHijacks(server: Server, handler: Handler): void {
  server.on("connection", takeOver)
  server.on("upgrade", (request, socket, head) => {
    socket.on("error", () => {}) // "close" follows, and is what we act on
    const upgraded = request.headers.upgrade !== undefined
    const length = upgraded ? 0 : Number(request.headers["content-length"] ?? 0)
    receive(socket, head, length, (body, early) => {
      const response = new ServerResponse(request)
      response.shouldKeepAlive = false
      response.assignSocket(socket as Socket)
      response.on("finish", () => hangUp(socket, request.socket))
      lines.set(request, {
        socket,
        connection: request.socket,
        early,
        upgraded,
        response,
        body: upgraded ? undefined : body.toString(),
      })
      handler(request, response)
    })
  })
}

/** What of the HTTP parser we need: Node gives every socket one, and asks it what follows. */
interface Parser {
  onIncoming: (request: IncomingMessage, keepAlive: boolean) => number
}
/** llhttp: the message has no body for the parser, and what follows is another protocol. */
const UPGRADE_WITHOUT_BODY = 2

/**
 * Makes the parser let go of an old-style hijack after its headers, so that not even bytes of the
 * same packet are read as a next request. A chunked body could not be framed here: it stays HTTP,
 * and is refused by `hijack`.
 */
function takeOver(socket: Socket): void {
  const parser = (socket as Socket & { parser?: Parser | null }).parser
  if (!parser) return
  const onIncoming = parser.onIncoming
  parser.onIncoming = (request, keepAlive) => {
    const old = request.headers.upgrade === undefined && isHijack(request) &&
      request.headers["transfer-encoding"] === undefined
    if (!old) return onIncoming(request, keepAlive)
    Object.assign(request, { upgrade: true })
    onIncoming(request, keepAlive)
    return UPGRADE_WITHOUT_BODY
  }
}

/** Takes `length` bytes of body off the connection; the rest stays for the stream. */
function receive(
  socket: Duplex,
  head: Buffer,
  length: number,
  done: (body: Buffer, early: Buffer) => void,
): void {
  if (!(length > 0) || head.length >= length) {
    const end = length > 0 ? length : 0
    return done(head.subarray(0, end), head.subarray(end))
  }
  const chunks = [head]
  let bytes = head.length
  const stop = () => {
    socket.off("readable", onReadable)
    socket.off("end", onEnd)
  }
  const onEnd = () => {
    stop()
    socket.destroy()
  }
  // Not by "data": whoever takes the stream over must find it neither flowing nor paused.
  const onReadable = () => {
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes < length) continue
      stop()
      const all = Buffer.concat(chunks)
      return done(all.subarray(0, length), all.subarray(length))
    }
  }
  socket.on("readable", onReadable)
  socket.on("end", onEnd)
}

/** Docker's two media types of a stream, told apart only to those who know the newer one. */
export const streamType = (version: string, terminal: boolean): string =>
  !terminal && speaks(version, "1.42")
    ? "application/vnd.docker.multiplexed-stream"
    : "application/vnd.docker.raw-stream"

/**
 * Takes the connection away from HTTP, answers 101 (or 200 in the old way), and lets `use` speak
 * over it. When `use` ends, our side is closed; when the client goes away, `use` is interrupted.
 * Its reading side ends on the client's half-close, which says nothing about its other half.
 */
export const hijack = <E, R>(
  call: { readonly request: HttpServerRequest.HttpServerRequest; readonly version: string },
  terminal: boolean,
  use: (socket: Duplex) => Effect.Effect<void, E, R>,
): Effect.Effect<HttpServerResponse.HttpServerResponse, E | ApiFault, R> =>
  Effect.gen(function*() {
    const line = lineOf(call.request)
    if (line === undefined) {
      return yield* invalid("error attaching to container, hijack connection missing")
    }
    const { socket, connection, response } = line
    response.detachSocket(socket as Socket)
    response.end() // nothing more goes this way: what would answer sees that it has been
    const type = streamType(call.version, terminal)
    socket.write(
      line.upgraded
        ? `HTTP/1.1 101 UPGRADED\r\nContent-Type: ${type}\r\n`
          + "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        : "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n",
    )
    if (line.early.length > 0) socket.unshift(line.early)
    yield* use(socket).pipe(
      Effect.raceFirst(closed(socket)),
      Effect.ensuring(Effect.sync(() => hangUp(socket, connection))),
    )
    return HttpServerResponse.empty()
  })

/** How long a client may take to close its side when we have closed ours. */
const GOODBYE_MS = 500

/** Lets what is written go out and closes our half; the whole once the client closed its own. */
function hangUp(socket: Duplex, connection: Socket): void {
  if (socket.destroyed) return
  socket.resume() // what it still sends is of no use, and must not keep its end from us
  socket.end(() => connection.setTimeout(GOODBYE_MS, () => connection.destroy()))
}

const closed = (socket: Duplex): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const onClose = () => resume(Effect.void)
    if (socket.destroyed) return onClose()
    socket.once("close", onClose)
    return Effect.sync(() => socket.off("close", onClose))
  })
