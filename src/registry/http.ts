import type { Socket } from "node:net"
import { rootCertificates } from "node:tls"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Agent, Dispatcher } from "undici"
import { connectionFault, passing, permanent, type RegistryFault } from "./faults.ts"

export interface HttpSettings {
  readonly userAgent: string
  readonly connectTimeoutMs: number
  /** The longest silence before an answer's headers. */
  readonly headersTimeoutMs: number
  /** The longest silence within an answer, while somebody is waiting for it. */
  readonly stallTimeoutMs: number
  /**
   * Called with each new connection's descriptor. The child caps its receive buffer here: what a
   * paused connection holds in the kernel counts as sent, and is sent again after a power cut.
   */
  readonly onConnect: (descriptor: number) => void
  /** What is configured for a host (`registry:5000`); null: nothing. Asked once for each. */
  readonly certificates: (host: string) => Certificates | null
}

/** PEM texts. `ca` is trusted beside the system's own; `cert` and `key` are shown to the host. */
export interface Certificates {
  readonly ca: readonly string[]
  readonly cert: string | null
  readonly key: string | null
}

/** What goes with a request; bytes of unknown number are given anew for every time it is sent. */
export type Body = string | Uint8Array | (() => AsyncIterable<Uint8Array>)

export interface Request {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH"
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Body
  /** Do not check certificates. */
  readonly insecure: boolean
}

/** An answer whose body is still to come: bytes arrive only while somebody asks for them. */
export interface Answer {
  readonly status: number
  readonly statusText: string
  readonly headers: Readonly<Record<string, string>>
  /** The next piece of the body, null after the last. One caller at a time. */
  readonly next: Effect.Effect<Uint8Array | null, RegistryFault>
}

/** `Get "https://host/v2/"`: a request as the errors of Docker's client name it. */
export const nameOf = ({ method, url }: Pick<Request, "method" | "url">): string =>
  `${method.slice(0, 1)}${method.slice(1).toLowerCase()} "${url.href}"`

type Wake = (effect: Effect.Effect<Uint8Array | null, RegistryFault>) => void

/**
 * Receives one answer from undici and hands its body out piece by piece, pausing in between. It
 * keeps one piece, a socket's read, that nobody has asked for.
 *
 * Whoever waits is told only once undici has returned: told at once, it would run within the
 * parser, as would all whom it wakes in turn, and there no other answer's parser may be touched.
 */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #asked: string
  readonly #answered: (effect: Effect.Effect<Answer, RegistryFault>) => void
  readonly #pieces: Uint8Array[] = []
  #controller: Dispatcher.DispatchController | null = null
  #wake: Wake | null = null
  #ended = false
  #aborted = false
  #fault: RegistryFault | null = null

  constructor(
    asked: string,
    answered: (effect: Effect.Effect<Answer, RegistryFault>) => void,
  ) {
    this.#asked = asked
    this.#answered = answered
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#aborted) controller.abort(new Error("aborted"))
  }

  onResponseStart(
    _: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
    statusText = "",
  ): void {
    if (status < 200) return
    const flat: Record<string, string> = Object.create(null)
    for (const [name, value] of Object.entries(headers)) {
      if (value !== undefined) flat[name] = typeof value === "string" ? value : value.join(", ")
    }
    const answer = { status, statusText, headers: flat, next: this.#next }
    queueMicrotask(() => this.#answered(Effect.succeed(answer)))
  }

  onResponseData(controller: Dispatcher.DispatchController, piece: Buffer): void {
    this.#pieces.push(piece)
    const wanted = this.#wake === null ? 0 : 1
    if (this.#pieces.length > wanted) controller.pause()
    queueMicrotask(() => this.#deliver())
  }

  onResponseEnd(): void {
    this.#ended = true
    queueMicrotask(() => this.#deliver())
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    const fault = connectionFault(this.#asked, error)
    this.#fault = fault
    queueMicrotask(() => {
      this.#answered(Effect.fail(fault))
      this.#deliver()
    })
  }

  #deliver(): void {
    if (this.#wake === null) return
    const piece = this.#pieces.shift()
    if (piece === undefined && !this.#ended && this.#fault === null) return
    const wake = this.#wake
    this.#wake = null
    if (piece !== undefined) wake(Effect.succeed(piece))
    else wake(this.#fault === null ? Effect.succeed(null) : Effect.fail(this.#fault))
  }

  readonly #next = Effect.callback<Uint8Array | null, RegistryFault>((resume) => {
    this.#wake = resume
    this.#deliver()
    if (this.#wake !== null) this.#controller?.resume()
    return Effect.sync(() => {
      this.#wake = null
    })
  })

  /** Gives the exchange up. A connection in the middle of an answer is closed. */
  abort(): void {
    this.#aborted = true
    this.#pieces.length = 0
    if (!this.#ended && this.#fault === null) this.#controller?.abort(new Error("aborted"))
  }
}

/** HTTP/1.1 without cookies, redirects or retries: those are decided above. */
export interface Http {
  /** Sends a request; the answer's connection is freed with the scope. */
  readonly send: (request: Request) => Effect.Effect<Answer, RegistryFault, Scope.Scope>
}

/** undici is loaded with the first request: it is large, and a load or a resume may need none. */
export const makeHttp = (settings: HttpSettings): Effect.Effect<Http, never, Scope.Scope> =>
  Effect.gen(function*() {
    const agents = new Map<string, Promise<Agent>>()
    const agentFor = ({ url: { host }, insecure }: Request): Promise<Agent> => {
      const key = `${host} ${insecure}`
      const known = agents.get(key)
      if (known !== undefined) return known
      // Bundled, a CommonJS package has no names of its own, only a default.
      const agent = import("undici").then(({ default: undici }) =>
        makeAgent(undici, settings, insecure, settings.certificates(host))
      )
      agents.set(key, agent)
      return agent
    }
    yield* Effect.addFinalizer(() =>
      Effect.promise(async () => {
        for (const agent of agents.values()) await (await agent).destroy()
      })
    )
    const send = Effect.fnUntraced(function*(request: Request) {
      const agent = yield* Effect.promise(() => agentFor(request))
      return yield* exchange(agent, request, settings)
    })
    return { send }
  })

function makeAgent(
  undici: typeof import("undici").default,
  settings: HttpSettings,
  insecure: boolean,
  certificates: Certificates | null,
): Agent {
  const { ca = [], cert = null, key = null } = certificates ?? {}
  const connect = undici.buildConnector({
    timeout: settings.connectTimeoutMs,
    allowH2: false,
    rejectUnauthorized: !insecure,
    ...(ca.length === 0 ? {} : { ca: [...rootCertificates, ...ca] }),
    ...(cert === null || key === null ? {} : { cert, key }),
  })
  return new undici.Agent({
    allowH2: false,
    headersTimeout: settings.headersTimeoutMs,
    bodyTimeout: settings.stallTimeoutMs,
    connect: (options, callback) =>
      connect(options, (...[error, socket]) => {
        if (error !== null) return callback(error, null)
        const descriptor = descriptorOf(socket)
        if (descriptor !== null) settings.onConnect(descriptor)
        callback(null, socket)
      }),
  })
}

/** Node has no public name for a socket's descriptor; where this one is gone, nothing is capped. */
const descriptorOf = (socket: Socket): number | null => {
  const fd = (socket as { _handle?: { fd?: unknown } })._handle?.fd
  return typeof fd === "number" && fd >= 0 ? fd : null
}

const exchange = (
  agent: Agent,
  request: Request,
  { userAgent, headersTimeoutMs }: HttpSettings,
): Effect.Effect<Answer, RegistryFault, Scope.Scope> =>
  Effect.gen(function*() {
    let live: Exchange | null = null
    yield* Effect.addFinalizer(() => Effect.sync(() => live?.abort()))
    return yield* Effect.callback<Answer, RegistryFault>((resume) => {
      live = new Exchange(nameOf(request), resume)
      try {
        agent.dispatch({
          origin: request.url.origin,
          path: request.url.pathname + request.url.search,
          method: request.method,
          headers: { "user-agent": userAgent, ...lengthOf(request.body), ...request.headers },
          ...bodyOf(request.body, headersTimeoutMs),
        }, live)
      } catch (error) {
        // Refused before it was sent: a header that cannot be one, such as a token with a newline.
        resume(Effect.fail(permanent("unsupported", `${nameOf(request)}: ${String(error)}`)))
      }
    })
  })

/** Sent at once: every piece that the socket takes shows that the connection lives. */
const PIECE_BYTES = 64 * 1024
/** A registry answers bytes once it has checked and kept them, and the kernel has sent them. */
const TAKING = 10

/**
 * What has come is read before each: a registry may answer what is still being sent, and hang up.
 * Once a write has failed for that, its answer is lost.
 */
async function* piecesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    if (at > 0) await new Promise((resolve) => setImmediate(resolve))
    yield bytes.subarray(at, at + PIECE_BYTES)
  }
}

const lengthOf = (body: Body | undefined): Record<string, string> =>
  body instanceof Uint8Array ? { "content-length": String(body.length) } : {}

/** undici sends an iterable; its types know only some of them. */
const bodyOf = (body: Body | undefined, headersTimeoutMs: number) => {
  if (body === undefined || typeof body === "string") return { body: body ?? null }
  const pieces = body instanceof Uint8Array ? piecesOf(body) : body()
  return { body: pieces as unknown as Uint8Array, headersTimeout: headersTimeoutMs * TAKING }
}

/**
 * The whole body, refused beyond `bytesMax`. What is too long is a passing fault only for the
 * caller who says so: a manifest of 5 MiB will be as long the next time.
 */
export const collect = (
  answer: Answer,
  bytesMax: number,
  tooLong: () => RegistryFault,
): Effect.Effect<Uint8Array, RegistryFault> =>
  Effect.gen(function*() {
    const pieces: Uint8Array[] = []
    let bytes = 0
    if (Number(answer.headers["content-length"] ?? 0) > bytesMax) return yield* tooLong()
    for (;;) {
      const piece = yield* answer.next
      if (piece === null) return Buffer.concat(pieces, bytes)
      bytes += piece.length
      if (bytes > bytesMax) return yield* tooLong()
      pieces.push(piece)
    }
  })

/** What an erroneous answer says, as far as anybody would read it. */
export const collectError = (answer: Answer): Effect.Effect<Uint8Array> =>
  collect(answer, ERROR_BYTES_MAX, () => passing("")).pipe(
    Effect.catch(() => Effect.succeed(new Uint8Array())),
  )
const ERROR_BYTES_MAX = 64 * 1024
