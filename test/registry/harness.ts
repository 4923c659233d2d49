import * as Effect from "effect/Effect"
import type { Access, Credentials } from "../../src/registry/access.ts"
import type { RegistryFault } from "../../src/registry/faults.ts"
import type { HttpSettings } from "../../src/registry/http.ts"
import { Registry } from "../../src/registry/registry.ts"

export const settings: HttpSettings = {
  userAgent: "balenaEngine/test",
  connectTimeoutMs: 5_000,
  headersTimeoutMs: 5_000,
  stallTimeoutMs: 1_000,
  onConnect: () => {},
  certificates: () => null,
}

export const access = (host: string, credentials: Partial<Credentials> | null = null): Access => ({
  host,
  insecure: false,
  credentials: credentials === null
    ? null
    : { username: "", password: "", identityToken: "", registryToken: "", ...credentials },
})

/** Runs a program against a registry client of its own; throws what it fails with. */
export const run = <A>(
  program: (registry: Registry["Service"]) => Effect.Effect<A, RegistryFault>,
): Promise<A> =>
  Effect.runPromise(Effect.provide(Effect.flatMap(Registry, program), Registry.body(settings)))

/** What a program fails with. */
export const faultOf = <A>(
  program: (registry: Registry["Service"]) => Effect.Effect<A, RegistryFault>,
): Promise<RegistryFault> => run((registry) => Effect.flip(program(registry)) as any) as any
