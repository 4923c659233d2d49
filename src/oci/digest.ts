import { createHash } from "node:crypto"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/** Text that does not name content. `cause` is worded as Docker words it. */
export class DigestFault extends Schema.TaggedError<DigestFault>()("DigestFault", {
  cause: Schema.String,
}) {}

/** Hexadecimal digits of each registered algorithm (OCI image-spec, descriptor.md "Digests"). */
const HEX_LENGTHS: ReadonlyMap<string, number> = new Map([
  ["sha256", 64],
  ["sha384", 96],
  ["sha512", 128],
])

/** `algorithm:encoded`, the grammar before any algorithm is looked at. */
const GRAMMAR = /^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/

/** Why `text` is not a digest, or null if it is one. */
export function digestFault(text: string): string | null {
  if (!GRAMMAR.test(text)) return "invalid checksum digest format"
  const [algorithm, hex] = splitDigest(text)
  const length = HEX_LENGTHS.get(algorithm)
  if (length === undefined) return "unsupported digest algorithm"
  if (hex.length !== length) return "invalid checksum digest length"
  return /^[a-f0-9]+$/.test(hex) ? null : "invalid checksum digest format"
}

/** Is this a complete digest, such as `sha256:` and 64 lower-case hexadecimal digits? */
export const isDigest = (text: string): boolean => digestFault(text) === null

/** Checks a digest and gives it back. */
export const parseDigest = (text: string): Result.Result<string, DigestFault> => {
  const cause = digestFault(text)
  return cause === null ? Result.succeed(text) : Result.fail(new DigestFault({ cause }))
}

/** The algorithm and the hexadecimal part of a digest. */
export const splitDigest = (digest: string): readonly [algorithm: string, hex: string] => {
  const colon = digest.indexOf(":")
  return [digest.slice(0, colon), digest.slice(colon + 1)]
}

/** The `sha256:` digest of bytes already in memory: manifests, configs. */
export const digestOf = (bytes: Uint8Array | string): string =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`

/** A digest in a schema of something from outside. */
export const Digest = Schema.String.check(
  Schema.makeFilter((text: string) => digestFault(text) ?? undefined, { title: "digest" }),
)
