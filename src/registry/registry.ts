import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { digestOf, isDigest } from "../oci/digest.ts"
import { type Descriptor, MANIFEST_TYPES, MEDIA, parseManifest } from "../oci/manifest.ts"
import { type Access, familiarImage, familiarName, isInsecure, loginTo } from "./access.ts"
import { type Challenge, parseChallenges } from "./challenge.ts"
import { answerFault, permanent, type RegistryFault, type Subject } from "./faults.ts"
import {
  type Answer, type Body, collect, collectError, type Http, type HttpSettings, makeHttp, nameOf,
  type Request,
} from "./http.ts"
import { makeTokens } from "./tokens.ts"

/** What refers to a manifest, and whether the registry keeps that list itself. */
export interface Referrers {
  readonly isListed: boolean
  readonly manifests: readonly Descriptor[]
}

/** A manifest or an index, exactly as the registry keeps it. */
export interface Document {
  readonly mediaType: string
  readonly digest: string
  readonly bytes: Uint8Array
}

/** "the limit of a manifest's size": 4 MiB, as registries and clients have agreed on. */
export const DOCUMENT_BYTES_MAX = 4 * 1024 * 1024

export interface BlobRequest {
  readonly access: Access
  readonly repository: string
  readonly digest: string
  /** Where else it may be had; asked without credentials. */
  readonly url: URL | null
  readonly headers: Readonly<Record<string, string>>
}

/** One request that changes what a repository holds, or asks how far such a change has come. */
export interface Change {
  readonly access: Access
  readonly repository: string
  /** Another repository that is read for it: what a blob is mounted from. */
  readonly mountFrom?: string
  readonly method: Request["method"]
  /** A path of the registry, or where it said to go on. */
  readonly target: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Body
}

/** An answer, and the request that it answers: every error names what was asked. */
export interface Asked {
  readonly request: Request
  readonly answer: Answer
}

/**
 * One registry conversation after another: the distribution specification, v1.1. Nothing here
 * repeats a request, but for a token that turned out to be stale: `retry.ts` does.
 */
export class Registry extends Context.Service<Registry, {
  /** Is there a registry, and does it take these credentials? What `docker login` asks. */
  readonly ping: (access: Access) => Effect.Effect<void, RegistryFault>
  /** A manifest or index by tag or digest; a digest is checked over the exact bytes. */
  readonly document: (
    access: Access,
    repository: string,
    reference: string,
  ) => Effect.Effect<Document, RegistryFault>
  /** A small blob, whole, its digest and size checked: an image's config. */
  readonly content: (
    access: Access,
    repository: string,
    descriptor: { readonly digest: string; readonly size: number },
  ) => Effect.Effect<Uint8Array, RegistryFault>
  /**
   * What refers to a manifest: as the registry lists it, or, of one that has no such list, as its
   * clients keep it under a tag (distribution specification, "Listing Referrers"). Nothing where
   * there is neither.
   */
  readonly referrers: (
    access: Access,
    repository: string,
    digest: string,
  ) => Effect.Effect<Referrers, RegistryFault>
  /** Asks for a blob, following redirects; the caller judges status and headers. */
  readonly blob: (request: BlobRequest) => Effect.Effect<Answer, RegistryFault, Scope.Scope>
  /** Is there a registry at all? Asked once for each. */
  readonly reach: (access: Access) => Effect.Effect<void, RegistryFault>
  /** Sends a change, with a token to push; the caller judges the status. */
  readonly change: (change: Change) => Effect.Effect<Asked, RegistryFault, Scope.Scope>
  /** Fails with what an answer means that refuses a change. */
  readonly refused: (change: Change, asked: Asked) => Effect.Effect<never, RegistryFault>
}>()("registry/Registry") {
  static readonly body = (settings: HttpSettings) => Layer.effect(Registry, makeRegistry(settings))
}

/** What is known of a host after its first answer. */
interface Endpoint {
  readonly origin: string
  readonly challenges: readonly Challenge[]
}

const REDIRECTS_MAX = 10
const REDIRECTS = new Set([301, 302, 303, 307, 308])
/** What a host answers that speaks no TLS on that port, or does not listen there at all. */
const SPEAKS_NO_TLS =
  /(HTTP response to HTTPS client|unexpected EOF|reset by peer|refused|other side closed)/

/** Everything the conversations share: connections, tokens, and what hosts have said. */
interface Client {
  readonly http: Http
  /** Asks the registry, with a token if it wants one; another host without. */
  readonly authorized: (
    access: Access,
    subject: Subject & { readonly scope: string | null },
    ask: Pick<Change, "target" | "headers"> & Partial<Pick<Change, "method" | "body">>,
  ) => Effect.Effect<Asked, RegistryFault, Scope.Scope>
  readonly endpointOf: (access: Access) => Effect.Effect<Endpoint, RegistryFault>
}

const makeRegistry = Effect.fnUntraced(function*(settings: HttpSettings) {
  const client = makeClient(yield* makeHttp(settings))
  return Registry.of({
    ping: (access) => ping(client, access),
    document: (access, repository, reference) => document(client, access, repository, reference),
    referrers: (access, repository, digest) => referrers(client, access, repository, digest),
    content: (access, repository, descriptor) => content(client, access, repository, descriptor),
    blob: (request) => blob(client, request),
    reach: (access) => Effect.asVoid(client.endpointOf(access)),
    change: (change) => client.authorized(change.access, pushSubjectOf(change), change),
    refused: (change, asked) => refused(asked, pushSubjectOf(change)),
  })
})

function makeClient(http: Http): Client {
  const tokens = makeTokens(http)
  const endpointOf = makeEndpoints(http)

  const authorized: Client["authorized"] = Effect.fnUntraced(
    function*(access, subject, { target, method = "GET", headers = {}, body }) {
      const insecure = isInsecure(access)
      const { origin, challenges } = yield* endpointOf(access)
      const url = targetAt(target, origin)
      const request: Request = { method, url, headers, insecure, ...(body && { body }) }
      if (url.origin !== origin) return { request, answer: yield* http.send(request) }
      const attempt = Effect.fnUntraced(function*(challenges: readonly Challenge[]) {
        const authorization = yield* tokens.authorize(access, challenges, request, subject)
        const { header } = authorization
        const answer = yield* http.send(header === null
          ? request
          : { ...request, headers: { ...headers, authorization: header } })
        return { answer, authorization }
      })
      const { answer, authorization } = yield* attempt(challenges)
      if (answer.status !== 401 && answer.status !== 403) return { request, answer }
      const now = parseChallenges(answer.headers["www-authenticate"] ?? "")
      const { header, fresh } = authorization
      // Stale, or the host asked for nothing before this: once more, with what it says now.
      const again = !fresh || (header === null && now.length > 0)
      if (!again) return { request, answer }
      yield* collectError(answer)
      if (header !== null) tokens.forget(header)
      return { request, answer: (yield* attempt(now.length > 0 ? now : challenges)).answer }
    },
  )
  return { http, authorized, endpointOf }
}

/** Behind a proxy, registries take themselves to speak in the clear: the host is the same. */
const targetAt = (target: string, origin: string): URL => {
  const url = new URL(target, origin)
  const own = new URL(origin)
  return url.host === own.host ? new URL(url.pathname + url.search, own) : url
}

/**
 * Finds out, once for each host, whether it speaks TLS and what it asks of clients. An insecure
 * host is tried with TLS first, as dockerd does.
 */
function makeEndpoints(http: Http) {
  const endpoints = new Map<string, Endpoint>()

  const probe = Effect.fnUntraced(function*(origin: string, insecure: boolean) {
    const request = get(new URL("/v2/", origin), insecure)
    const answer = yield* http.send(request)
    if (answer.status !== 200 && answer.status !== 401) {
      return yield* refused({ request, answer }, NOBODY)
    }
    yield* collectError(answer)
    const header = answer.headers["www-authenticate"] ?? ""
    return { origin, challenges: answer.status === 401 ? parseChallenges(header) : [] }
  }, Effect.scoped)

  return Effect.fnUntraced(function*(access: Access) {
    const insecure = isInsecure(access)
    const key = `${access.host} ${insecure}`
    const known = endpoints.get(key)
    if (known !== undefined) return known
    const found = yield* probe(`https://${access.host}`, insecure).pipe(
      Effect.catchIf(
        ({ cause }) => insecure && SPEAKS_NO_TLS.test(cause),
        () => probe(`http://${access.host}`, insecure),
      ),
    )
    endpoints.set(key, found)
    return found
  })
}

const NOBODY = { repository: "", image: "", login: "", isPush: false, scope: null }

const get = (
  url: URL,
  insecure: boolean,
  headers: Readonly<Record<string, string>> = {},
): Request => ({ method: "GET", url, headers, insecure })

/** Fails with what an erroneous answer means. */
const refused = ({ request, answer }: Asked, subject: Subject) =>
  Effect.gen(function*() {
    const { status, statusText, headers } = answer
    const body = yield* collectError(answer)
    const asked = nameOf(request)
    const authenticate = headers["www-authenticate"] ?? null
    const retryAfter = headers["retry-after"] ?? null
    const nowMs = yield* Clock.currentTimeMillis
    return yield* answerFault(
      { asked, status, statusText, authenticate, retryAfter, body },
      subject,
      nowMs,
    )
  })

const subjectOf = ({ host }: Access, repository: string, reference: string) => ({
  repository: familiarName(host, repository),
  image: familiarImage(host, repository, reference),
  login: loginTo(host),
  isPush: false,
  scope: `repository:${repository}:pull`,
})

/** What a push may do, in words for the token server; its errors are the registry's own words. */
const pushSubjectOf = ({ repository, mountFrom }: Change) => {
  const from = mountFrom === undefined ? "" : ` repository:${mountFrom}:pull`
  return { ...NOBODY, isPush: true, scope: `repository:${repository}:pull,push${from}` }
}

const ping = Effect.fnUntraced(function*(client: Client, access: Access) {
  const asked = yield* client.authorized(access, NOBODY, { target: "/v2/" })
  if (asked.answer.status !== 200) return yield* refused(asked, NOBODY)
  yield* collectError(asked.answer)
}, Effect.scoped)

const document = Effect.fnUntraced(
  function*(client: Client, access: Access, repository: string, reference: string) {
    const subject = subjectOf(access, repository, reference)
    const target = `/v2/${repository}/manifests/${reference}`
    const headers = { accept: MANIFEST_TYPES.join(", ") }
    const asked = yield* client.authorized(access, subject, { target, headers })
    const { answer } = asked
    if (answer.status !== 200) return yield* refused(asked, subject)
    const bytes = yield* collect(answer, DOCUMENT_BYTES_MAX, () =>
      permanent("unsupported", `manifest of ${subject.image} is larger than 4 MiB`))
    const digest = digestOf(bytes)
    if (isDigest(reference) && digest !== reference) {
      const cause = `manifest verification failed for digest ${reference}`
      return yield* permanent("digestMismatch", cause)
    }
    const mediaType = (answer.headers["content-type"] ?? "").split(";", 1)[0]?.trim() ?? ""
    return { mediaType, digest, bytes }
  },
  Effect.scoped,
)

const referrers = Effect.fnUntraced(
  function*(client: Client, access: Access, repository: string, digest: string) {
    const target = `/v2/${repository}/referrers/${digest}`
    const subject = subjectOf(access, repository, digest)
    const headers = { accept: MEDIA.ociIndex }
    const { answer } = yield* client.authorized(access, subject, { target, headers })
    if (answer.status === 200) {
      const bytes = yield* collect(answer, DOCUMENT_BYTES_MAX, () =>
        permanent("unsupported", `referrers of ${subject.image} are larger than 4 MiB`))
      return { isListed: true, manifests: entriesOf(bytes, MEDIA.ociIndex) }
    }
    yield* collectError(answer)
    const tagged = document(client, access, repository, referrersTag(digest))
    const manifests = yield* Effect.catchIf(
      Effect.map(tagged, ({ bytes, mediaType }) => entriesOf(bytes, mediaType)),
      ({ reason }: RegistryFault) => reason === "notFound",
      () => Effect.succeed([]),
    )
    return { isListed: false, manifests }
  },
  Effect.scoped,
)

/** The tag of the index of a manifest's referrers: `sha256-<hex>`. */
export const referrersTag = (digest: string): string => digest.replace(":", "-")

/** The entries of an index; none of what is no index. */
const entriesOf = (bytes: Uint8Array, mediaType: string): readonly Descriptor[] =>
  Result.match(parseManifest(bytes, mediaType), {
    onSuccess: (found) => found.kind === "list" ? found.manifests : [],
    onFailure: () => [],
  })

const content = Effect.fnUntraced(
  function*(
    client: Client,
    access: Access,
    repository: string,
    { digest, size }: { readonly digest: string; readonly size: number },
  ) {
    if (size > DOCUMENT_BYTES_MAX) {
      return yield* permanent("unsupported", `config ${digest} is larger than 4 MiB`)
    }
    const answer = yield* blob(client, { access, repository, digest, url: null, headers: {} })
    const mismatch = () =>
      permanent("digestMismatch", `image config verification failed for digest ${digest}`)
    const bytes = yield* collect(answer, size, mismatch)
    return bytes.length === size && digestOf(bytes) === digest ? bytes : yield* mismatch()
  },
  Effect.scoped,
)

const blob = Effect.fnUntraced(function*(client: Client, blobRequest: BlobRequest) {
  const { access, repository, digest, url, headers } = blobRequest
  const subject = subjectOf(access, repository, digest)
  const insecure = isInsecure(access)
  // Without Authorization, whatever the host: a signed address needs none, and a token is not for
  // strangers.
  const elsewhere = Effect.fnUntraced(function*(url: URL) {
    const request = get(url, insecure, headers)
    return { request, answer: yield* client.http.send(request) }
  })
  let asked = yield* url === null
    ? client.authorized(access, subject, { target: `/v2/${repository}/blobs/${digest}`, headers })
    : elsewhere(url)
  for (let hops = 0; REDIRECTS.has(asked.answer.status); hops += 1) {
    const { request, answer } = asked
    yield* collectError(answer)
    const location = URL.parse(answer.headers["location"] ?? "", request.url)
    if (location === null || !/^https?:$/.test(location.protocol) || hops === REDIRECTS_MAX) {
      return yield* permanent("unsupported", `${nameOf(request)}: a redirect that leads nowhere`)
    }
    asked = yield* elsewhere(location)
  }
  const { status } = asked.answer
  if (status === 200 || status === 206 || status === 416) return asked.answer
  return yield* refused(asked, subject)
})
