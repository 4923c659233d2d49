import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Stream from "effect/Stream"
import type { ServerResponse } from "node:http"

/** A JSON answer as Go's encoder writes it: with a newline behind it. */
export const json = (value: unknown, status = 200): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(`${JSON.stringify(value)}\n`, { status, contentType: "application/json" })

export const noContent = HttpServerResponse.empty({ status: 204 })

/**
 * Answers with bytes as they come. The headers go out at once: a client that waits for the first
 * event must know that it is being listened to. A slow client pauses the stream.
 */
export const streamed = <E, R>(
  request: HttpServerRequest.HttpServerRequest,
  contentType: string,
  body: Stream.Stream<Uint8Array, E, R>,
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R> =>
  Effect.contextWith((context) => {
    const flush = Effect.sync(() =>
      (NodeHttpServerRequest.toServerResponse(request) as ServerResponse).flushHeaders()
    )
    const whole = Stream.concat(Stream.fromEffectDrain(flush), body)
    return Effect.succeed(
      HttpServerResponse.stream(Stream.provideContext(whole, context), { contentType }),
    )
  })

const encoder = new TextEncoder()
const line = (value: unknown): Uint8Array => encoder.encode(`${JSON.stringify(value)}\n`)

/** Answers one JSON object a line, each sent as soon as it is there. */
export const jsonLines = <E, R>(
  request: HttpServerRequest.HttpServerRequest,
  values: Stream.Stream<unknown, E, R>,
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R> =>
  streamed(request, "application/json", Stream.map(values, line))

export const STDOUT = 1
export const STDERR = 2

/** One frame of Docker's multiplexed stream: stream, three zeros, length in network order, data. */
export function frame(stream: 1 | 2, data: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEADER_BYTES + data.length)
  bytes.writeUInt32BE(stream << 24, 0)
  bytes.writeUInt32BE(data.length, 4)
  bytes.set(data, FRAME_HEADER_BYTES)
  return bytes
}
const FRAME_HEADER_BYTES = 8
