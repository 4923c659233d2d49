import * as Effect from "effect/Effect"
import * as ByteSize from "effect/ByteSize"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import { ApiFault, invalid } from "./faults.ts"
import { bodyOfHijacked } from "./hijack.ts"

/** The most JSON a client may send: a create body with its own seccomp profile is about 20 KB. */
const BODY_BYTES_MAX = 4 * 1024 * 1024

/**
 * Reads a JSON body as Docker does: undefined for none at all, a refusal for another content type
 * or for what is not JSON.
 */
export const readJson = Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest) {
  const type = request.headers["content-type"] ?? ""
  const text = bodyOfHijacked(request) ?? (yield* readText(request))
  if (text === "" && type === "") return undefined
  yield* checkType(type)
  if (text.trim() === "") return undefined
  return yield* parse(text)
})

const readText = (request: HttpServerRequest.HttpServerRequest) =>
  request.text.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(BODY_BYTES_MAX)),
    Effect.mapError((error) =>
      error.reason._tag === "RequestParseError" && error.reason.reason === "BodyTooLarge"
        ? ApiFault.of("tooLarge", `request body is larger than ${BODY_BYTES_MAX} bytes`)
        : invalid("the request body could not be read")
    ),
  )

const checkType = (type: string) =>
  type.split(";", 1)[0]!.trim().toLowerCase() === "application/json"
    ? Effect.void
    : Effect.fail(
      invalid(`unsupported Content-Type header (${type}): must be 'application/json'`),
    )

const parse = (text: string) =>
  Effect.try({
    try: () => JSON.parse(text) as unknown,
    catch: (error) => inGo(text, String(error)),
  })

/** What is wrong with a JSON text, in the words of Go's decoder, which clients know. */
function inGo(text: string, error: string): ApiFault {
  const at = Number(/at position (\d+)/.exec(error)?.[1] ?? -1)
  if (/end of JSON input|Unterminated string/.test(error) || at >= text.length) {
    return invalid("invalid JSON: unexpected EOF")
  }
  if (/after JSON/.test(error)) return invalid("unexpected content after JSON")
  const token = text[at] ?? /Unexpected token '(.)'/u.exec(error)?.[1] ?? text.trim()[0]
  const wanted = /property name/.test(error)
    ? "beginning of object key string"
    : /after (property value|array element)/.test(error)
    ? "comma or the end of it"
    : "beginning of value"
  return invalid(`invalid JSON: invalid character '${token}' looking for ${wanted}`)
}

