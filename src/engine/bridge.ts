import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import { addresses, addressOn, ensureBridge } from "../kernel/links.ts"
import { applyRules } from "../kernel/nft.ts"
import { isPortFree, localPortRange } from "../kernel/ports.ts"
import { type RunFault, Runtime, type StartFault } from "../kernel/runtime.ts"
import { macOf } from "../net/mac.ts"
import {
  bridgePool,
  type Cidr,
  formatCidr,
  freeBridge,
  parseCidr,
  type Pool,
  subnetOf,
} from "../net/pools.ts"
import { parsePortRange } from "../net/ports.ts"
import { type Published, publishing, removal, ruleset, withdrawing } from "../net/rules.ts"
import type { Port, Terms } from "../oci/terms.ts"
import type { Settings } from "../settings.ts"
import { Store } from "../store/store.ts"
import { type Claims, claimsOf, networkFault } from "./claims.ts"
import { type BridgeState, Networks, type NetworkState } from "./networks.ts"

const DEFAULT_BRIDGE = "balena0"
const DEFAULT_MTU = 1500
const ANY = "0.0.0.0"

const publishedBy = ({ address, ports }: NetworkState): Published[] =>
  ports.map((port) => ({ address, port }))

/** The default bridge of a real machine, made when the first container needs it. */
class DefaultBridge {
  readonly #settings: Settings
  readonly #name: string
  readonly #table: string
  readonly claims: Claims
  /** One change of the packet filter at a time. */
  readonly #turn = Semaphore.makeUnsafe(1)
  #pool: Pool | undefined

  constructor(settings: Settings, claims: Claims) {
    this.#settings = settings
    this.#name = settings.bridge || DEFAULT_BRIDGE
    this.#table = `balena_${this.#name.replace(/[^A-Za-z0-9_.-]/g, "_")}`
    this.claims = claims
  }

  /** Makes the bridge and its rules if this process has not yet; answers its pool. */
  readonly ready: Effect.Effect<Pool, StartFault> = Effect.suspend(() =>
    this.#pool === undefined ? this.#turn.withPermit(this.#make) : Effect.succeed(this.#pool)
  )

  readonly #make: Effect.Effect<Pool, StartFault> = Effect.gen({ self: this }, function*() {
    if (this.#pool !== undefined) return this.#pool
    const cidr = yield* Effect.mapError(this.#address(), ({ cause }) => networkFault(cause))
    const { fixedCidr, defaultGateway, mtu, ipForward } = this.#settings
    const made = bridgePool({ bip: cidr, fixedCidr, defaultGateway })
    if (Result.isFailure(made)) return yield* networkFault(made.failure.cause)
    yield* Effect.try({
      try: () =>
        ensureBridge({
          name: this.#name,
          address: cidr.address,
          prefix: cidr.prefix,
          mac: macOf(cidr.address),
          mtu: mtu || DEFAULT_MTU,
          forward: ipForward,
        }),
      catch: (error) => networkFault(`the bridge ${this.#name} cannot be made: ${String(error)}`),
    })
    yield* this.#filter(ruleset(this.#table, [{
      name: this.#name,
      cidr,
      icc: this.#settings.icc,
      masquerade: this.#settings.ipMasq,
    }], this.claims.all().flatMap(([, claim]) => publishedBy(claim))))
    this.#pool = made.success
    return made.success
  })

  /** What was set, else what the bridge has already, else a network that nobody here uses. */
  #address(): Effect.Effect<Cidr, { readonly cause: string }> {
    const set = this.#settings.bip === "" ? null : parseCidr(this.#settings.bip)
    const there = set ?? addressOn(this.#name)
    if (there !== null) return Effect.succeed({ address: there.address, prefix: there.prefix })
    return Result.match(freeBridge(addresses()), {
      onSuccess: (cidr) => Effect.succeed(cidr),
      onFailure: (fault) => Effect.fail(fault),
    })
  }

  #filter(rules: string): Effect.Effect<void, StartFault> {
    if (!this.#settings.iptables) return Effect.void
    return Effect.mapError(
      applyRules(rules),
      ({ cause }) => networkFault(`nft refused the rules: ${cause}`),
    )
  }

  /** An address and host ports for one container; the claim stands until `release`. */
  claim(id: string, name: string, terms: Terms): Effect.Effect<NetworkState, StartFault> {
    return Effect.flatMap(this.ready, (pool) => {
      const ports = terms.network.ports.map((port) => this.#onDefaultIp(port))
      return this.claims.claim({ id, name, ports }, {
        bridge: this.#name,
        pool,
        isolated: !this.#settings.icc,
        range: parsePortRange(localPortRange()),
        isFree: ({ protocol, hostIp, hostPort }) => isPortFree(protocol, hostIp, hostPort),
      })
    })
  }

  /** A port that names no address of the host's is published on the one that is set for those. */
  #onDefaultIp(port: Port): Port {
    const { defaultIp } = this.#settings
    return port.hostIp === "" && defaultIp !== ANY ? { ...port, hostIp: defaultIp } : port
  }

  publish(id: string): Effect.Effect<void, StartFault> {
    const claim = this.claims.get(id)
    if (claim === undefined || claim.ports.length === 0) return Effect.void
    return this.#turn.withPermit(this.#filter(publishing(this.#table, publishedBy(claim))))
  }

  /** The claim goes last: what nft would not withdraw is nobody else's yet. */
  release(id: string): Effect.Effect<void, RunFault> {
    const claim = this.claims.get(id)
    if (claim === undefined) return Effect.void
    const isPublished = claim.ports.length > 0 && this.#settings.iptables
    const withdrawn = isPublished
      ? this.#turn.withPermit(applyRules(withdrawing(this.#table, publishedBy(claim))))
      : Effect.void
    return Effect.andThen(withdrawn, Effect.sync(() => this.claims.release(id)))
  }

  /** As it was made; else as it would be, as far as that is settled. */
  readonly state: Effect.Effect<BridgeState> = Effect.suspend(() => {
    const { fixedCidr, mtu, icc, ipMasq, bip } = this.#settings
    const there = bip === "" ? addressOn(this.#name) : parseCidr(bip)
    const subnet = this.#pool?.subnet ?? (there === null ? null : subnetOf(there))
    return Effect.succeed({
      name: this.#name,
      subnet: subnet === null ? "" : formatCidr(subnet),
      gateway: this.#pool?.gateway ?? there?.address ?? "",
      range: fixedCidr,
      mtu: mtu || DEFAULT_MTU,
      icc,
      masquerade: ipMasq,
    })
  })

  /**
   * Running containers need their rules again if the machine's were flushed, or we were away. What
   * is left of containers that ended meanwhile goes.
   */
  readonly restore: Effect.Effect<void, StartFault> = Effect.suspend(() =>
    this.claims.all().length === 0
      ? this.#turn.withPermit(Effect.suspend(() =>
        this.#pool === undefined ? this.#filter(removal(this.#table)) : Effect.void
      ))
      : Effect.asVoid(this.ready)
  )
}

/** Networks of a real machine: the default bridge, the host's, none, another container's. */
export const networksLinux = (settings: Settings) =>
  Layer.effect(
    Networks,
    Effect.gen(function*() {
      const runtime = yield* Runtime
      const connected = yield* Effect.catch(runtime.connected, ({ cause }) =>
        Effect.as(Effect.logWarning(`who is on the bridge is not known: ${cause}`), []))
      const bridge = new DefaultBridge(settings, claimsOf(yield* Store, connected))
      const onBridge = ({ network }: Terms) =>
        settings.bridge !== "none" && (network.mode === "bridge" || network.mode === "default")
      yield* Effect.forkScoped(Effect.catch(bridge.restore, ({ cause }) =>
        Effect.logWarning(`published ports are not restored: ${cause}`)))
      return Networks.of({
        claim: ({ id, name }, terms) =>
          onBridge(terms) ? bridge.claim(id, name, terms) : Effect.succeed(null),
        hold: (id, state) => bridge.claims.hold(id, state),
        publish: (id) => bridge.publish(id),
        leave: (id, work) => bridge.claims.leave(id, work),
        release: (id) => bridge.release(id),
        bridge: settings.bridge === "none" ? Effect.succeed(null) : bridge.state,
      })
    }),
  )
