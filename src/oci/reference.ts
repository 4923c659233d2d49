import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { digestFault, isDigest } from "./digest.ts"

/**
 * A reference with every default written out: `busybox` is
 * `{ domain: "docker.io", path: "library/busybox", tag: null, digest: null }`.
 * The grammar is that of the distribution project's `reference` package.
 */
export interface Reference {
  /** A registry's host with its port, as people write it: `docker.io`, `127.0.0.1:5000`. */
  readonly domain: string
  /** The repository within the registry: `library/busybox`. */
  readonly path: string
  readonly tag: string | null
  readonly digest: string | null
}

/** Text that is no reference. `cause` is worded as Docker words it. */
export class ReferenceFault extends Schema.TaggedError<ReferenceFault>()("ReferenceFault", {
  cause: Schema.String,
}) {}

type Parsed = Result.Result<Reference, ReferenceFault>

const DEFAULT_DOMAIN = "docker.io"
const LEGACY_DOMAIN = "index.docker.io"
const OFFICIAL = "library/"
const DEFAULT_TAG = "latest"
/** Characters of domain and path together. */
const NAME_LENGTH_MAX = 255

const label = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
const domain = `(?:${label}(?:\\.${label})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`
const component = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*"
const name = `(${domain})/(${component}(?:/${component})*)`
const tag = "[\\w][\\w.-]{0,127}"
const digest = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
const REFERENCE = new RegExp(`^${name}(?::(${tag}))?(?:@(${digest}))?$`)
const TAG = new RegExp(`^${tag}$`)
const IDENTIFIER = /^[a-f0-9]{64}$/

const fail = (cause: string) => Result.fail(new ReferenceFault({ cause }))

/**
 * Reads a reference as a person types it: `busybox`, `host:5000/a/b:tag@sha256:…`. No tag is
 * invented: see `withDefaultTag`. Bare image IDs are refused, as they could never be told apart
 * from a repository of that name.
 */
export function parseReference(text: string): Parsed {
  if (IDENTIFIER.test(text)) {
    return fail(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`)
  }
  const [domain, remainder] = splitDomain(text)
  const path = remainder.split(":", 1)[0] ?? ""
  if (path !== path.toLowerCase()) {
    return fail("invalid reference format: repository name must be lowercase")
  }
  const match = REFERENCE.exec(`${domain}/${remainder}`)
  if (match === null) return fail("invalid reference format")
  const [, host = "", repository = "", tag = null, digest = null] = match
  if (host.length + 1 + repository.length > NAME_LENGTH_MAX) {
    return fail(`repository name must not be more than ${NAME_LENGTH_MAX} characters`)
  }
  const fault = digest === null ? null : digestFault(digest)
  return fault === null
    ? Result.succeed({ domain: host, path: repository, tag, digest })
    : fail(fault)
}

/**
 * The registry's part and the rest. The first component is a host only if it could not be a
 * user of the default registry: it has a dot, a port or a capital letter, or is `localhost`.
 */
function splitDomain(text: string): readonly [domain: string, remainder: string] {
  const slash = text.indexOf("/")
  const first = text.slice(0, Math.max(slash, 0))
  const isHost = /[.:[]/.test(first) || first === "localhost" || first !== first.toLowerCase()
  const written = isHost ? first : DEFAULT_DOMAIN
  const domain = written === LEGACY_DOMAIN ? DEFAULT_DOMAIN : written
  const remainder = isHost ? text.slice(slash + 1) : text
  const official = domain === DEFAULT_DOMAIN && !remainder.includes("/")
  return [domain, official ? OFFICIAL + remainder : remainder]
}

/** Reads what an API call gives as `fromImage` and `tag`; the tag may be a digest, or empty. */
export function referenceOf(image: string, tag: string): Parsed {
  const parsed = parseReference(image.replace(/:$/, ""))
  if (tag === "" || Result.isFailure(parsed)) return parsed
  if (isDigest(tag)) return Result.succeed({ ...parsed.success, tag: null, digest: tag })
  return withTag(parsed.success, tag)
}

/** The same repository with another tag. */
export const withTag = (reference: Reference, tag: string): Parsed =>
  TAG.test(tag) ? Result.succeed({ ...reference, tag }) : fail("invalid tag format")

/** `latest`, if neither tag nor digest says otherwise. */
export const withDefaultTag = (reference: Reference): Reference =>
  reference.tag === null && reference.digest === null
    ? { ...reference, tag: DEFAULT_TAG }
    : reference

/** The repository's full name: `docker.io/library/busybox`. */
export const repositoryOf = (reference: Reference): string =>
  `${reference.domain}/${reference.path}`

/**
 * The repository's name as Docker shows it: `busybox`, `user/app`, `host:5000/app`. The default
 * domain stays where the name without it would read as another registry's (`docker.io/a.b/c`).
 */
export function familiarRepository({ domain, path }: Reference): string {
  if (domain !== DEFAULT_DOMAIN) return `${domain}/${path}`
  const short = path.startsWith(OFFICIAL) ? path.slice(OFFICIAL.length) : path
  const familiar = short.includes("/") ? path : short
  return splitDomain(familiar)[0] === DEFAULT_DOMAIN ? familiar : `${domain}/${path}`
}

const suffix = ({ tag, digest }: Reference): string =>
  (tag === null ? "" : `:${tag}`) + (digest === null ? "" : `@${digest}`)

/** The whole reference, unambiguous: what is stored and compared. Reads back as itself. */
export const formatReference = (reference: Reference): string =>
  repositoryOf(reference) + suffix(reference)

/** The reference as Docker shows it. `parseReference` reads it back. */
export const familiarReference = (reference: Reference): string =>
  familiarRepository(reference) + suffix(reference)

/**
 * What a client may write where an image is asked for: an ID (64 hexadecimal digits, with or
 * without `sha256:`), a prefix of one, or a reference. A prefix also reads as a reference: which
 * of the two is meant, only the store knows; Docker looks for the reference first.
 */
export interface ImageName {
  /** The image's ID, if the text is a whole one. */
  readonly id: string | null
  /** Hexadecimal digits that may begin an ID. */
  readonly idPrefix: string | null
  readonly reference: Reference | null
}

/** Reads what a client wrote to name an image that is here already. */
export function parseImageName(text: string): Result.Result<ImageName, ReferenceFault> {
  const hex = text.startsWith("sha256:") ? text.slice("sha256:".length) : text
  if (IDENTIFIER.test(hex)) {
    return Result.succeed({ id: `sha256:${hex}`, idPrefix: hex, reference: null })
  }
  const idPrefix = /^[a-f0-9]{1,63}$/.test(hex) ? hex : null
  const parsed = parseReference(text)
  if (Result.isFailure(parsed)) {
    return idPrefix === null
      ? Result.fail(parsed.failure)
      : Result.succeed({ id: null, idPrefix, reference: null })
  }
  return Result.succeed({ id: null, idPrefix, reference: withDefaultTag(parsed.success) })
}
