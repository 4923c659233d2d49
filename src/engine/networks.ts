import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { RunFault, StartFault } from "../kernel/runtime.ts"
import type { Port, Terms } from "../oci/terms.ts"

/** The networks every engine has. Their IDs never change: nothing about them is configured. */
export const NETWORKS = {
  bridge: { id: "b71d9e00".repeat(8), driver: "bridge" },
  host: { id: "40570000".repeat(8), driver: "host" },
  none: { id: "0e77e000".repeat(8), driver: "null" },
} as const
export type NetworkName = keyof typeof NETWORKS

/** The network a container is on; null: it shares another container's. */
export function networkOf({ network: { mode } }: Terms): NetworkName | null {
  if (mode === "default") return "bridge"
  return mode === "bridge" || mode === "host" || mode === "none" ? mode : null
}

/** The default bridge as it is, or would be made. */
export interface BridgeState {
  readonly name: string
  /** `172.17.0.0/16`; empty: that shows only when it is made. */
  readonly subnet: string
  readonly gateway: string
  /** The part of the network that containers are given addresses from; empty: all of it. */
  readonly range: string
  readonly mtu: number
  /** May containers on it reach one another, and the outside? */
  readonly icc: boolean
  readonly masquerade: boolean
}

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
 * running container's row says it was given, and from what the kernel has of others; they are held
 * until its clean is done. Its simulated twin is in `simulations/world/networks.ts`; both pass
 * `test/contracts/networks.ts`.
 */
export class Networks extends Context.Service<Networks, {
  /** Claims what these terms need; null: nothing (no network, the host's, another container's). */
  readonly claim: (
    container: { readonly id: string; readonly name: string },
    terms: Terms,
  ) => Effect.Effect<NetworkState | null, StartFault>
  /** Takes for granted what a container that runs was given. */
  readonly hold: (id: string, state: NetworkState) => void
  /** Opens the published ports of a container that has started. */
  readonly publish: (id: string) => Effect.Effect<void, StartFault>
  /**
   * Does what clears a container away, which ends with `release`. Whoever asks meanwhile for a port
   * it still has waits for that, as a client that was told of its end may well do.
   */
  readonly leave: <A, E>(id: string, work: Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** Gives everything back. Idempotent. */
  readonly release: (id: string) => Effect.Effect<void, RunFault>
  /** null: there is none here. */
  readonly bridge: Effect.Effect<BridgeState | null>
}>()("engine/Networks") {}
