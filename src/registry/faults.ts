import * as Schema from "effect/Schema"
import { type Challenge, parseChallenges } from "./challenge.ts"

/**
 * Why a registry's answer, or its silence, is not what was asked for. A *passing* fault may be gone
 * the next time: the request is worth repeating. Any other ends the work.
 */
export class RegistryFault extends Schema.TaggedError<RegistryFault>()("RegistryFault", {
  reason: Schema.Literals([
    "unauthorized",
    "notFound",
    "unreachable",
    "digestMismatch",
    "damaged",
    "unsupported",
  ]),
  /** Worded as Docker words it, where Docker has words for it. */
  cause: Schema.String,
  passing: Schema.Boolean,
  /** How long the registry asked to be left alone. */
  retryAfterMs: Schema.NullOr(Schema.Number),
}) {}

type Reason = RegistryFault["reason"]

export const permanent = (reason: Reason, cause: string): RegistryFault =>
  new RegistryFault({ reason, cause, passing: false, retryAfterMs: null })

export const passing = (cause: string, retryAfterMs: number | null = null): RegistryFault =>
  new RegistryFault({ reason: "unreachable", cause, passing: true, retryAfterMs })

/** An answer that is an error, as far as its meaning goes. */
export interface ErrorAnswer {
  /** `Get "https://host/v2/app/manifests/1"`: what was asked, in the words of Docker's errors. */
  readonly asked: string
  readonly status: number
  readonly statusText: string
  readonly authenticate: string | null
  readonly retryAfter: string | null
  readonly body: Uint8Array
}

/** One error of the distribution specification ("Errors"): a code and a sentence. */
interface Coded {
  readonly code: string
  readonly message: string
}

const Errors = Schema.fromJsonString(Schema.Struct({
  errors: Schema.Array(Schema.Struct({
    code: Schema.optionalKey(Schema.Union([Schema.String, Schema.Number])),
    message: Schema.optionalKey(Schema.NullOr(Schema.String)),
  })),
}))
/** What token servers answer; they follow the specification only loosely. */
const Details = Schema.fromJsonString(Schema.Struct({
  details: Schema.optionalKey(Schema.String),
  message: Schema.optionalKey(Schema.String),
  error_description: Schema.optionalKey(Schema.String),
}))

/** The sentences that go with a code when the registry sent none. */
const MESSAGES: Readonly<Record<string, string>> = {
  UNAUTHORIZED: "authentication required",
  DENIED: "requested access to the resource is denied",
  MANIFEST_UNKNOWN: "manifest unknown",
  NAME_UNKNOWN: "repository name not known to registry",
  BLOB_UNKNOWN: "blob unknown to registry",
  TOOMANYREQUESTS: "too many requests",
}

/** What an erroneous answer says in its own words, if it says anything. */
function codedOf({ status, authenticate, body }: ErrorAnswer): Coded | null {
  const challenged = authenticate === null ? null : challengedFor(parseChallenges(authenticate))
  if (challenged !== null) return challenged
  const text = new TextDecoder().decode(body)
  const errors = Schema.decodeUnknownOption(Errors)(text)
  const first = errors._tag === "Some" ? errors.value.errors[0] : undefined
  if (first !== undefined) {
    const code = String(first.code ?? "UNKNOWN").toUpperCase()
    return { code, message: first.message || (MESSAGES[code] ?? "unknown error") }
  }
  const details = Schema.decodeUnknownOption(Details)(text)
  const said = details._tag === "Some" ? details.value : {}
  const message = said.details ?? said.message ?? said.error_description
  const code = { 401: "UNAUTHORIZED", 403: "DENIED", 429: "TOOMANYREQUESTS" }[status]
  return code === undefined ? null : { code, message: message ?? MESSAGES[code] ?? "" }
}

/** RFC 6750 section 3.1: a bearer challenge may say what was wrong with the token that was sent. */
function challengedFor(challenges: readonly Challenge[]): Coded | null {
  for (const { scheme, parameters } of challenges) {
    const { error, error_description: said } = parameters
    if (scheme !== "bearer") continue
    const code = { invalid_token: "UNAUTHORIZED", insufficient_scope: "DENIED" }[error ?? ""]
    if (code !== undefined) return { code, message: said ?? MESSAGES[code] ?? "" }
  }
  return null
}

/** `manifest unknown: manifest unknown`: how Docker prints a coded error. */
const print = ({ code, message }: Coded): string =>
  `${code.toLowerCase().replaceAll("_", " ")}: ${message}`

/** Whose absence is meant: it decides the wording. */
export interface Subject {
  readonly repository: string
  readonly image: string
  /** How to log in there, as a person would; empty: that is just what is being done. */
  readonly login: string
  /** Then dockerd says what the registry says, and no more. */
  readonly isPush: boolean
}

/** An erroneous answer as a fault, in Docker's words. `nowMs` resolves a date in Retry-After. */
export function answerFault(answer: ErrorAnswer, subject: Subject, nowMs: number): RegistryFault {
  const { status, asked } = answer
  const coded = codedOf(answer)
  const said = coded === null ? `${asked}: ${unexpected(answer)}` : print(coded)
  if (status === 408 || status === 429 || status >= 500) {
    const cause = status === 429 && coded !== null ? said : `${asked}: ${unexpected(answer)}`
    return passing(cause, retryAfterMs(answer.retryAfter, nowMs))
  }
  if (subject.isPush) return permanent(reasonOf(status), said)
  if (coded?.code === "DENIED" && subject.repository !== "") {
    return permanent("unauthorized", `pull access denied for ${subject.repository}, `
      + `repository does not exist or may require 'docker login': ${said}`)
  }
  if (status === 401 || status === 403) {
    return permanent("unauthorized", `${asked}: ${said}${advice(subject)}`)
  }
  if (coded?.code === "NAME_UNKNOWN") {
    return permanent("notFound", `repository ${subject.repository} not found: ${said}`)
  }
  if (coded?.code === "MANIFEST_UNKNOWN") {
    return permanent("notFound", `manifest for ${subject.image} not found: ${said}`)
  }
  if (status === 404) return permanent("notFound", said)
  return permanent("unsupported", said)
}

const reasonOf = (status: number): Reason =>
  status === 401 || status === 403 ? "unauthorized" : status === 404 ? "notFound" : "unsupported"

/** What a person can do whose credentials are missing or wrong. */
export const advice = ({ login }: Subject): string =>
  login === "" ? "" : `; log in with '${login}'`

const unexpected = ({ status, statusText }: ErrorAnswer): string =>
  `received unexpected HTTP status: ${status} ${statusText}`.trimEnd()

/** RFC 9110 section 10.2.3: seconds, or a date. */
function retryAfterMs(header: string | null, nowMs: number): number | null {
  if (header === null) return null
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000
  const dateMs = Date.parse(header)
  return Number.isNaN(dateMs) ? null : Math.max(0, dateMs - nowMs)
}

/** A certificate that is not valid *yet* is most often a device whose clock is not set yet. */
const CERTIFICATE_FAULTS =
  /^(CERT_(?!NOT_YET_VALID)|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|ERR_TLS_CERT|HOSTNAME_)/
const NO_TLS = /^(EPROTO|ERR_SSL_(WRONG_VERSION|PACKET_LENGTH|HTTP_REQUEST))/

/** The most telling code in an error of undici, of node:net or of node:tls. */
export const codeOf = (error: unknown): string => {
  if (!(error instanceof Error)) return ""
  const { code } = error as { code?: unknown }
  const inner = error.cause === undefined ? "" : codeOf(error.cause)
  if (inner !== "") return inner
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0])
  return typeof code === "string" ? code : ""
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNRESET: "connection reset by peer",
  UND_ERR_HEADERS_TIMEOUT: "timeout awaiting response headers",
  UND_ERR_BODY_TIMEOUT: "timeout awaiting more of the response",
  UND_ERR_SOCKET: "unexpected EOF",
}

/** Why there is no connection at all, as Go's dialer words it. */
const DIALLING: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connect: connection refused",
  EHOSTUNREACH: "connect: no route to host",
  ENETUNREACH: "connect: network is unreachable",
  ETIMEDOUT: "i/o timeout",
  UND_ERR_CONNECT_TIMEOUT: "i/o timeout",
}
const LOOKING_UP: Readonly<Record<string, string>> = {
  ENOTFOUND: "no such host",
  EAI_AGAIN: "Temporary failure in name resolution",
}

/** What of an error says whom it is about: node:net's and node:dns's fields. */
interface Dialled {
  readonly address?: string
  readonly port?: number
  readonly hostname?: string
}

/** The innermost of an error's causes: the one that the system gave. */
const innermost = (error: unknown): Dialled => {
  if (error instanceof Error && error.cause !== undefined) return innermost(error.cause)
  if (error instanceof AggregateError) return innermost(error.errors[0])
  return Object(error) as Dialled
}

const DIAL = "dial tcp"

/** Why nobody was reached, as Docker's daemon says it; null: somebody was. */
const dialFault = (code: string, error: unknown): string | null => {
  const { address = "", port, hostname = "" } = innermost(error)
  const looked = LOOKING_UP[code]
  if (looked !== undefined) return `${DIAL}: lookup ${hostname}: ${looked}`
  const dialled = DIALLING[code]
  if (dialled === undefined) return null
  const host = address.includes(":") ? `[${address}]` : address
  return `${DIAL}${address === "" ? "" : ` ${host}:${port}`}: ${dialled}`
}

/** Turns a failed connection, or one that broke, into a fault. */
export function connectionFault(asked: string, error: unknown): RegistryFault {
  const code = codeOf(error)
  const message = error instanceof Error ? error.message : String(error)
  if (NO_TLS.test(code)) {
    const words = "http: server gave HTTP response to HTTPS client"
    return permanent("unreachable", `${asked}: ${words}`)
  }
  if (CERTIFICATE_FAULTS.test(code)) {
    const words = `tls: failed to verify certificate: x509: ${message}`
    return permanent("unreachable", `${asked}: ${words}`)
  }
  return passing(`${asked}: ${dialFault(code, error) ?? WORDS[code] ?? message}`)
}

/** Was nobody reached at all? A person who mistyped a host should not wait for several tries. */
export const isUnreached = ({ cause }: RegistryFault): boolean => cause.includes(`: ${DIAL}`)
