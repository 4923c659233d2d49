import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"

/** Docker's categories of errors (its errdefs), and the one place where they become numbers. */
export const STATUS = {
  notModified: 304,
  invalidParameter: 400,
  unauthorized: 401,
  forbidden: 403,
  notFound: 404,
  conflict: 409,
  tooLarge: 413,
  system: 500,
  notImplemented: 501,
  unavailable: 503,
} as const

export type Category = keyof typeof STATUS

/** A request that is not answered as the client hoped. `message` is what the client reads. */
export class ApiFault extends Schema.TaggedError<ApiFault>()("ApiFault", {
  category: Schema.Literals(Object.keys(STATUS) as Category[]),
  message: Schema.String,
}) {
  static of(category: Category, message: string): ApiFault {
    return new ApiFault({ category, message })
  }
}

export const invalid = (message: string): ApiFault => ApiFault.of("invalidParameter", message)
export const notFound = (message: string): ApiFault => ApiFault.of("notFound", message)
export const conflict = (message: string): ApiFault => ApiFault.of("conflict", message)

/** What a part of the API that is still to come answers: it says which, and never hangs. */
export const notYet = (what: string): ApiFault =>
  ApiFault.of("notImplemented", `${what} is not supported by this engine yet`)

/** Any failure as an `ApiFault`: what nobody has worded is our own fault, and says so. */
export function asFault(error: unknown): ApiFault {
  if (error instanceof ApiFault) return error
  const { cause, message } = Object(error) as { cause?: unknown; message?: unknown }
  const text = [cause, message, error].find((word) => typeof word === "string" && word !== "")
  return ApiFault.of("system", String(text ?? error))
}

/** Docker's error body: `{"message": …}` and a newline; 304 has none. */
export function faultResponse({ category, message }: ApiFault) {
  const status = STATUS[category]
  return status === 304
    ? HttpServerResponse.empty({ status })
    : HttpServerResponse.text(`${JSON.stringify({ message })}\n`, {
      status,
      contentType: "application/json",
    })
}
