import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Endpoint } from "../kernel/links.ts"
import { StartFault } from "../kernel/runtime.ts"
import { linkName, macOf } from "../net/mac.ts"
import { allocate, type Pool } from "../net/pools.ts"
import { type PortPlanInput, planPorts } from "../net/ports.ts"
import type { Port } from "../oci/terms.ts"
import type { StoreBody } from "../store/store.ts"
import type { NetworkState } from "./networks.ts"

const EXIT_ENGINE = 125

/** A start that fails because of its network; `cause` is worded as Docker words it. */
export const networkFault = (cause: string) => new StartFault({ exitCode: EXIT_ENGINE, cause })

/** What one container asks for. */
interface Wish {
  readonly id: string
  readonly name: string
  readonly ports: readonly Port[]
}

/** Where addresses and ports are claimed: a bridge, and the host's ports. */
export interface Ground extends Pick<PortPlanInput, "range" | "isFree"> {
  readonly bridge: string
  readonly pool: Pool
  /** Are containers on the bridge kept from one another? */
  readonly isolated: boolean
}

/**
 * Who has which address and which ports on one bridge: the bookkeeping of every body of `Networks`,
 * without any kernel.
 */
export class Claims {
  readonly #held: Map<string, NetworkState>
  /** Claims that are about to be given back. */
  readonly #leaving = new Map<string, Deferred.Deferred<void>>()

  constructor(held: Iterable<readonly [string, NetworkState]>) {
    this.#held = new Map(held)
  }

  get(id: string): NetworkState | undefined {
    return this.#held.get(id)
  }
  all(): readonly (readonly [id: string, NetworkState])[] {
    return [...this.#held]
  }

  /**
   * An address and host ports for one container, which nobody else has; or what it has still, as a
   * run of it could not be cleaned up. Waits for containers that are leaving where they have a port
   * of these.
   */
  claim(wish: Wish, ground: Ground): Effect.Effect<NetworkState, StartFault> {
    return Effect.suspend(() => {
      const before = this.#held.get(wish.id)
      if (before !== undefined) return Effect.succeed(before)
      const held = [...this.#held.values()]
      const address = allocate(ground.pool, new Set(held.map((claim) => claim.address)))
      if (Result.isFailure(address)) return Effect.fail(networkFault(address.failure.cause))
      const taken = held.flatMap((claim) => claim.ports)
      const { range, isFree } = ground
      const ports = planPorts({ ports: wish.ports, taken, range, isFree })
      if (Result.isFailure(ports)) {
        const leaving = [...this.#leaving.values()]
        if (leaving.length === 0) return Effect.fail(notPublished(wish, ports.failure.cause))
        const gone = Effect.all(leaving.map((each) => Deferred.await(each)))
        return Effect.andThen(gone, this.claim(wish, ground))
      }
      const claim = claimOf(wish.id, address.success, ports.success, ground)
      this.#held.set(wish.id, claim)
      return Effect.succeed(claim)
    })
  }

  hold(id: string, claim: NetworkState): void {
    this.#held.set(id, claim)
  }

  /** Does what ends with `release`; whoever needs a port that this one has waits for it. */
  leave<A, E>(id: string, work: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      if (!this.#held.has(id)) return work
      const gone = Deferred.makeUnsafe<void>()
      this.#leaving.set(id, gone)
      return Effect.ensuring(work, Effect.sync(() => {
        if (this.#leaving.get(id) === gone) this.#leaving.delete(id)
        Deferred.doneUnsafe(gone, Effect.void)
      }))
    })
  }

  release(id: string): void {
    this.#held.delete(id)
  }
}

const notPublished = ({ id, name }: Wish, cause: string) =>
  networkFault("driver failed programming external connectivity on endpoint " +
    `${name} (${id}): ${cause}`)

const claimOf = (
  id: string,
  address: string,
  ports: readonly Port[],
  { bridge, pool, isolated }: Ground,
): NetworkState => ({
  bridge,
  link: linkName(id),
  address,
  prefix: pool.subnet.prefix,
  gateway: pool.gateway,
  mac: macOf(address),
  isolated,
  hairpin: ports.length > 0,
  ports,
})

/**
 * What the rows of running containers say they were given, and what the kernel still has of others:
 * of a start that a crash kept from being written down, of a clean that was given up.
 */
export const claimsOf = (
  store: StoreBody,
  connected: readonly (readonly [id: string, Endpoint])[],
): Claims => {
  const given = store.containers.all().flatMap(({ id, state }) =>
    state.network === null ? [] : [[id, state.network as NetworkState] as const]
  )
  return new Claims([...given, ...connected as readonly (readonly [string, NetworkState])[]])
}
