import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { registryCertificates } from "../../kernel/certificates.ts"
import { CARRIER_DEFAULTS } from "../../layers/carrier-linux.ts"
import { parseImageConfig } from "../../oci/image-config.ts"
import { type Manifest, parseManifest } from "../../oci/manifest.ts"
import type { Platform } from "../../oci/platform.ts"
import type { Reference } from "../../oci/reference.ts"
import type { Access, Credentials } from "../../registry/access.ts"
import { permanent, RegistryFault } from "../../registry/faults.ts"
import type { HttpSettings } from "../../registry/http.ts"
import { Registry } from "../../registry/registry.ts"
import { Registries } from "../registries.ts"

/**
 * What is asked of a registry that is no pull: short, rare, and so done in the daemon itself. Each
 * conversation has connections of its own, and the HTTP client is loaded with the first of them.
 */
const SETTINGS: HttpSettings = {
  ...CARRIER_DEFAULTS,
  onConnect: () => {},
  certificates: (host) => registryCertificates(CARRIER_DEFAULTS.certificatesPath, host),
}

const conversing = <A>(
  work: (registry: Registry["Service"]) => Effect.Effect<A, RegistryFault>,
): Effect.Effect<A, RegistryFault> =>
  Effect.provide(Effect.flatMap(Registry, work), Registry.body(SETTINGS))

/** An address that no registry can have. */
export class AddressFault extends Schema.TaggedError<AddressFault>()("AddressFault", {
  cause: Schema.String,
}) {}

const HUB = "docker.io"
/** What else the hub has been called; clients send the first where they were told no server. */
const HUBS = ["", "index.docker.io", "registry-1.docker.io", HUB]

/** The registry in what a client calls its server: a host, a whole URL, or nothing for the hub. */
const domainOf = (address: string): Effect.Effect<string, AddressFault> => {
  if (HUBS.includes(address)) return Effect.succeed(HUB)
  const url = URL.parse(/^https?:\/\//.test(address) ? address : `https://${address}`)
  if (url === null) {
    const cause = `unable to parse server address: ${JSON.stringify(address)} names no host`
    return Effect.fail(new AddressFault({ cause }))
  }
  return Effect.succeed(HUBS.includes(url.host) ? HUB : url.host)
}

/** Tries credentials on a registry. Fails with what it says where it would not have them. */
export const login = (address: string, credentials: Credentials) =>
  Effect.gen(function*() {
    const registries = yield* Registries
    const access = { ...registries.accessTo(yield* domainOf(address)), credentials }
    yield* conversing((registry) => registry.ping(access))
  })

/** What a name stands for at its registry. */
export interface Described {
  readonly mediaType: string
  readonly digest: string
  /** Of the manifest or the list itself. */
  readonly bytes: number
  readonly platforms: readonly Platform[]
}

/** Asks the registry what a name stands for, without pulling it. */
export const describe = (reference: Reference, credentials: Credentials | null) =>
  Effect.gen(function*() {
    const registries = yield* Registries
    const { domain, path, tag, digest } = reference
    const access = { ...registries.accessTo(domain), credentials }
    return yield* conversing((registry) =>
      Effect.gen(function*() {
        const found = yield* registry.document(access, path, digest ?? tag ?? "latest")
        const manifest = parseManifest(found.bytes, found.mediaType)
        if (Result.isFailure(manifest)) {
          return yield* permanent("unsupported", manifest.failure.cause)
        }
        const platforms = yield* platformsOf(registry, access, path, manifest.success)
        const { mediaType } = manifest.success
        return { mediaType, digest: found.digest, bytes: found.bytes.length, platforms }
      })
    )
  })

const platformsOf = (
  registry: Registry["Service"],
  access: Access,
  repository: string,
  manifest: Manifest,
): Effect.Effect<readonly Platform[], RegistryFault> =>
  manifest.kind === "list"
    ? Effect.succeed(manifest.manifests.flatMap(({ platform }) => platform ?? []))
    : Effect.map(registry.content(access, repository, manifest.config), (bytes) => {
      const config = parseImageConfig(bytes)
      return Result.isSuccess(config) ? [config.success] : []
    })

export { RegistryFault }
