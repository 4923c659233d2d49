import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Access, Credentials } from "./access.ts"
import type { Challenge } from "./challenge.ts"
import { advice, answerFault, permanent, type RegistryFault, type Subject } from "./faults.ts"
import { collect, collectError, type Http, nameOf, type Request } from "./http.ts"

/** What to send, and whether it was made for this very request: only then is a 401 final. */
export interface Authorization {
  readonly header: string | null
  readonly fresh: boolean
}

export interface Tokens {
  /**
   * The Authorization for what is asked, by the host's challenges. Cached until it expires. `scope`
   * may be several, parted by blanks (RFC 6749 section 3.3).
   */
  readonly authorize: (
    access: Access,
    challenges: readonly Challenge[],
    /** What it is for. */
    request: Request,
    subject: Subject & { readonly scope: string | null },
  ) => Effect.Effect<Authorization, RegistryFault>
  /** Forgets a token that the registry would not take. */
  readonly forget: (header: string) => void
}

/** The distribution project's token answer ("Token Authentication Specification"). */
const TokenAnswer = Schema.fromJsonString(Schema.Struct({
  token: Schema.optionalKey(Schema.String),
  access_token: Schema.optionalKey(Schema.String),
  expires_in: Schema.optionalKey(Schema.Number),
}))

const ANSWER_BYTES_MAX = 1024 * 1024
/** "For compatibility with older clients, a token should never be returned with less than 60 s." */
const LIFE_S_MIN = 60
/** A token is not used in its last seconds: the request has to arrive, too. */
const MARGIN_MS = 10_000
const CLIENT_ID = "balena-engine"

export const basic = ({ username, password }: Credentials): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`

export function makeTokens(http: Http): Tokens {
  const cache = new Map<string, { readonly header: string; readonly untilMs: number }>()

  const authorize: Tokens["authorize"] = Effect.fnUntraced(
    function*(access, challenges, { insecure, ...asked }, subject) {
      const { credentials } = access
      if (credentials !== null && credentials.registryToken !== "") {
        return { header: `Bearer ${credentials.registryToken}`, fresh: true }
      }
      const bearer = challenges.find(({ scheme }) => scheme === "bearer")
      if (bearer === undefined) {
        if (!challenges.some(({ scheme }) => scheme === "basic")) return NONE
        if (credentials === null || credentials.username === "") {
          const none = "no basic auth credentials"
          const cause = subject.isPush ? none : `${nameOf(asked)}: ${none}${advice(subject)}`
          return yield* permanent("unauthorized", cause)
        }
        return { header: basic(credentials), fresh: true }
      }
      const request = yield* tokenRequest(bearer, access, insecure, subject.scope)
      const key = JSON.stringify([request.url.href, request.body, request.headers])
      const nowMs = yield* Clock.currentTimeMillis
      const known = cache.get(key)
      if (known !== undefined && known.untilMs > nowMs) {
        return { header: known.header, fresh: false }
      }
      const { token, lifeS } = yield* fetchToken(http, request, subject)
      const header = `Bearer ${token}`
      cache.set(key, { header, untilMs: nowMs + lifeS * 1000 - MARGIN_MS })
      return { header, fresh: true }
    },
  )

  const forget = (header: string): void => {
    for (const [key, known] of cache) if (known.header === header) cache.delete(key)
  }
  return { authorize, forget }
}

const NONE: Authorization = { header: null, fresh: true }

/** GET with Basic credentials or none; with a refresh token, the OAuth2 POST. */
function tokenRequest(
  { parameters }: Challenge,
  { credentials, host }: Access,
  insecure: boolean,
  scope: string | null,
): Effect.Effect<Request, RegistryFault> {
  const url = URL.parse(parameters["realm"] ?? "")
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) {
    const cause = `${host}: no realm to ask for a token: ${parameters["realm"] ?? "(none)"}`
    return Effect.fail(permanent("unauthorized", cause))
  }
  const secret = credentials !== null
    && (credentials.username !== "" || credentials.identityToken !== "")
  if (secret && url.protocol === "http:" && !insecure) {
    const cause = `${host} asks for credentials to be sent unencrypted to ${url.origin}: refused`
    return Effect.fail(permanent("unauthorized", cause))
  }
  const service = parameters["service"]
  if (credentials !== null && credentials.identityToken !== "") {
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      refresh_token: credentials.identityToken,
      client_id: CLIENT_ID,
    })
    if (service !== undefined) form.set("service", service)
    if (scope !== null) form.set("scope", scope)
    const headers = { "content-type": "application/x-www-form-urlencoded" }
    return Effect.succeed({ method: "POST", url, headers, body: form.toString(), insecure })
  }
  if (service !== undefined) url.searchParams.set("service", service)
  for (const one of scope?.split(" ") ?? []) url.searchParams.append("scope", one)
  if (credentials === null || credentials.username === "") {
    return Effect.succeed({ method: "GET", url, headers: {}, insecure })
  }
  url.searchParams.set("account", credentials.username)
  const headers = { authorization: basic(credentials) }
  return Effect.succeed({ method: "GET", url, headers, insecure })
}

const fetchToken = (http: Http, request: Request, subject: Subject) =>
  Effect.scoped(Effect.gen(function*() {
    const answer = yield* http.send(request)
    const asked = nameOf(request)
    if (answer.status !== 200) {
      const { status, statusText } = answer
      const body = yield* collectError(answer)
      const nowMs = yield* Clock.currentTimeMillis
      const retryAfter = answer.headers["retry-after"] ?? null
      const authenticate = null
      return yield* answerFault(
        { asked, status, statusText, authenticate, retryAfter, body },
        subject,
        nowMs,
      )
    }
    const unreadable = () =>
      permanent("unauthorized", `${asked}: the token server's answer cannot be read`)
    const body = yield* collect(answer, ANSWER_BYTES_MAX, unreadable)
    const decoded = Schema.decodeUnknownOption(TokenAnswer)(new TextDecoder().decode(body))
    const said = decoded._tag === "Some" ? decoded.value : {}
    const token = said.token || said.access_token
    if (token === undefined || token === "" || /[^\x21-\x7e]/.test(token)) {
      return yield* unreadable()
    }
    return { token, lifeS: Math.max(said.expires_in ?? LIFE_S_MIN, LIFE_S_MIN) }
  }))
