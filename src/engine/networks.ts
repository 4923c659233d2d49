import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { RunFault, StartFault } from "../kernel/runtime.ts"
import type { Port, Terms } from "../oci/terms.ts"

/** What a container was given on the bridge, for as long as it runs. */
export interface NetworkState {
  readonly bridge: string
  readonly link: string
  readonly address: string
  readonly prefix: number
  readonly gateway: string
  readonly mac: string
  /** Kept from the other containers on the bridge. */
  readonly isolated: boolean
  readonly hairpin: boolean
  /** With the host ports that were chosen. */
  readonly ports: readonly Port[]
}

/**
 * Addresses and ports on the default bridge. Claims are memory, rebuilt at boot from what each
 * running container's row says it was given; they are held until its clean is done.
 */
export class Networks extends Context.Service<Networks, {
  /** Claims what these terms need; null: nothing (no network, the host's, another container's). */
  readonly claim: (id: string, terms: Terms) => Effect.Effect<NetworkState | null, StartFault>
  /** Takes for granted what a container that runs was given. */
  readonly hold: (id: string, state: NetworkState) => void
  /** Opens the published ports of a container that has started. */
  readonly publish: (id: string) => Effect.Effect<void, StartFault>
  /** Gives everything back. Idempotent. */
  readonly release: (id: string) => Effect.Effect<void, RunFault>
}>()("engine/Networks") {}
