import * as http from "node:http"
import type { Duplex } from "node:stream"

/** Where a daemon listens, as people write it: `unix:///path` or `tcp://host:port`. */
export type HostText = string

/** What the daemon said when it refused, or why it could not be asked (`status` 0). */
export class ClientError extends Error {
  readonly status: number
  constructor(message: string, status: number) {
    super(message)
    this.name = "ClientError"
    this.status = status
  }
}

export interface Call {
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>
  /** An object is sent as JSON, a stream as it comes. */
  readonly body?: object | NodeJS.ReadableStream
  readonly headers?: Readonly<Record<string, string>>
}

/** A connection that has stopped speaking HTTP: bytes both ways, half-closable. */
export interface Hijacked {
  readonly socket: Duplex
  /** The first bytes, where they came with the answer. */
  readonly head: Buffer
  /** Is it one stream of a terminal, or stdout and stderr in frames? */
  readonly multiplexed: boolean
}

/**
 * A client of the Docker API over one host, without packages so that it loads at once. Paths carry
 * no version: the daemon then speaks its newest, and any daemon will do.
 */
export class Client {
  readonly host: HostText
  readonly #target: { socketPath: string } | { host: string; port: number }

  constructor(host: HostText) {
    this.host = host
    this.#target = target(host)
  }

  /** Asks, and answers the response once its head is there; throws a refusal as `ClientError`. */
  async request(method: string, path: string, call: Call = {}): Promise<http.IncomingMessage> {
    const response = await this.#send(method, path, call, {})
    if ((response.statusCode ?? 500) >= 400) throw await refusal(response)
    return response
  }

  /** Asks, and reads the whole answer as JSON; null where it has no body. */
  async json<A>(method: string, path: string, call: Call = {}): Promise<A> {
    const text = await textOf(await this.request(method, path, call))
    return (text === "" ? null : JSON.parse(text)) as A
  }

  /** Asks, and gives each JSON object of the answer as it comes (progress, events). */
  async *messages<A>(method: string, path: string, call: Call = {}): AsyncGenerator<A> {
    const response = await this.request(method, path, call)
    let rest = ""
    response.setEncoding("utf8")
    for await (const chunk of response as AsyncIterable<string>) {
      const lines = (rest + chunk).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) if (line.trim() !== "") yield JSON.parse(line) as A
    }
    if (rest.trim() !== "") yield JSON.parse(rest) as A
  }

  /** Asks for the connection itself, as attach and exec do (Docker's Upgrade to `tcp`). */
  hijack(method: string, path: string, call: Call = {}): Promise<Hijacked> {
    return new Promise((resolve, reject) => {
      const headers = { Connection: "Upgrade", Upgrade: "tcp" }
      const request = this.#request(method, path, call, headers, reject)
      request.on("upgrade", (response, socket, head) => {
        const type = response.headers["content-type"] ?? ""
        resolve({ socket, head, multiplexed: type.includes("multiplexed") })
      })
      request.on("response", (response) => {
        refusal(response).then(reject, reject)
      })
    })
  }

  #send(method: string, path: string, call: Call, headers: Record<string, string>) {
    return new Promise<http.IncomingMessage>((resolve, reject) => {
      this.#request(method, path, call, headers, reject).on("response", resolve)
    })
  }

  #request(
    method: string,
    path: string,
    { query = {}, body, headers: more = {} }: Call,
    headers: Record<string, string>,
    reject: (error: Error) => void,
  ): http.ClientRequest {
    const asked = Object.entries(query).flatMap(([name, value]): [string, string][] =>
      value === undefined ? [] : [[name, String(value)]])
    const search = asked.length === 0 ? "" : `?${new URLSearchParams(asked).toString()}`
    const isStream = body !== undefined && "pipe" in body
    const type = isStream ? "application/x-tar" : "application/json"
    const request = http.request({
      ...this.#target,
      method,
      path: path + search,
      headers: { Host: "docker", ...(body && { "Content-Type": type }), ...headers, ...more },
      agent: false,
    })
    request.on("error", (error: NodeJS.ErrnoException) => reject(this.#unreachable(error)))
    if (isStream) body.pipe(request)
    else request.end(body && JSON.stringify(body))
    return request
  }

  #unreachable(error: NodeJS.ErrnoException): Error {
    if (error.code === "EACCES") {
      return new ClientError(
        `permission denied while trying to connect to the balenaEngine daemon at ${this.host}`,
        0,
      )
    }
    if (error.syscall !== "connect") return error
    return new ClientError(
      `Cannot connect to the balenaEngine daemon at ${this.host}. `
        + "Is the balenaEngine daemon running?",
      0,
    )
  }
}

function target(host: HostText): { socketPath: string } | { host: string; port: number } {
  if (host.startsWith("unix://")) return { socketPath: host.slice("unix://".length) }
  const url = host.startsWith("tcp://") ? new URL(`http${host.slice("tcp".length)}`) : null
  if (url === null) throw new ClientError(`unable to parse docker host \`${host}\``, 0)
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port || 2375) }
}

export async function textOf(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString("utf8")
}

async function refusal(response: http.IncomingMessage): Promise<ClientError> {
  const text = await textOf(response)
  let message = text.trim() || `the daemon answered ${response.statusCode} without a word`
  try {
    message = (JSON.parse(text) as { message?: string }).message ?? message
  } catch {
    // Not JSON: the text itself is what was said.
  }
  return new ClientError(`Error response from daemon: ${message}`, response.statusCode ?? 0)
}

/** Bytes of a frame's head: stream number, three zeros, length (big-endian). */
const FRAME_HEAD = 8

/** Takes stdout and stderr apart again: `write` is given the stream (1 or 2) and its bytes. */
export function demultiplexer(write: (stream: number, data: Buffer) => void) {
  let rest: Buffer = Buffer.alloc(0)
  return (chunk: Buffer): void => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    while (rest.length >= FRAME_HEAD) {
      const length = rest.readUInt32BE(4)
      if (rest.length < FRAME_HEAD + length) return
      write(rest[0] ?? 1, rest.subarray(FRAME_HEAD, FRAME_HEAD + length))
      rest = rest.subarray(FRAME_HEAD + length)
    }
  }
}
