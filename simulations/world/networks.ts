import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Claims } from "../../src/engine/claims.ts"
import type { Networks } from "../../src/engine/networks.ts"
import { bridgePool, formatCidr } from "../../src/net/pools.ts"
import { DEFAULT_RANGE } from "../../src/net/ports.ts"
import type { Terms } from "../../src/oci/terms.ts"

const NAME = "balena0"
const POOL = Result.getOrThrow(bridgePool({
  bip: { address: "172.17.0.1", prefix: 16 },
  fixedCidr: "",
  defaultGateway: "",
}))

const onBridge = ({ network: { mode } }: Terms): boolean => mode === "default" || mode === "bridge"

/**
 * The simulated twin of `Networks`: the real bookkeeping, on a bridge without a kernel.
 * `isBound`: does another program of the host have this port?
 */
export const simNetworks = (
  claims: Claims,
  isBound: (port: number) => boolean = () => false,
): Networks["Service"] => ({
  claim: ({ id, name }, terms) =>
    onBridge(terms)
      ? claims.claim({ id, name, ports: terms.network.ports }, {
        bridge: NAME,
        pool: POOL,
        isolated: false,
        range: DEFAULT_RANGE,
        isFree: ({ hostPort }) => !isBound(hostPort),
      })
      : Effect.succeed(null),
  hold: (id, state) => claims.hold(id, state),
  publish: () => Effect.void,
  leave: (id, work) => claims.leave(id, work),
  release: (id) => Effect.sync(() => claims.release(id)),
  bridge: Effect.succeed({
    name: NAME,
    subnet: formatCidr(POOL.subnet),
    gateway: POOL.gateway,
    range: "",
    mtu: 1500,
    icc: true,
    masquerade: true,
  }),
})
