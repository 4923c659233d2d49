import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/** An IPv4 address with the length of its network's prefix: `172.17.0.1/16`. */
export interface Cidr {
  readonly address: string
  readonly prefix: number
}

/** The addresses that containers of one network may be given. */
export interface Pool {
  /** The whole network, by its first address. */
  readonly subnet: Cidr
  /** Where addresses are taken from: the subnet, or a part of it. */
  readonly range: Cidr
  /** The bridge's own address. */
  readonly bridge: string
  /** What containers route through: the bridge, or what was set instead. */
  readonly gateway: string
}

/** A network that cannot be, or one that is full. Worded as Docker words it. */
export class PoolFault extends Schema.TaggedError<PoolFault>()("PoolFault", {
  cause: Schema.String,
}) {}

const BITS = 32
/** RFC 1812 leaves no host in shorter networks; Docker wants two at least as well. */
const PREFIX_MAX = 30

/** The number an address stands for; null: it is none. */
export function numberOf(address: string): number | null {
  const parts = address.split(".")
  const isAddress = parts.length === 4
    && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)
  return isAddress ? parts.reduce((sum, part) => sum * 256 + Number(part), 0) : null
}

/** `0xac110001` → `172.17.0.1`. */
export const addressOf = (number: number): string =>
  [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join(".")

/** Is it a dotted IPv4 address? */
export const isAddress = (text: string): boolean => numberOf(text) !== null

/** Reads `172.17.0.1/16`; null: it is none. */
export function parseCidr(text: string): Cidr | null {
  const [address = "", length = "", rest] = text.split("/")
  const prefix = /^\d{1,2}$/.test(length) ? Number(length) : BITS + 1
  return rest === undefined && isAddress(address) && prefix <= BITS ? { address, prefix } : null
}

export const formatCidr = ({ address, prefix }: Cidr): string => `${address}/${prefix}`

/** First and last number of a network. */
function bounds({ address, prefix }: Cidr): readonly [first: number, last: number] {
  const size = 2 ** (BITS - prefix)
  const first = Math.floor((numberOf(address) ?? 0) / size) * size
  return [first, first + size - 1]
}

/** The network an address is in: `172.17.0.1/16` → `172.17.0.0/16`. */
export const subnetOf = (cidr: Cidr): Cidr =>
  ({ address: addressOf(bounds(cidr)[0]), prefix: cidr.prefix })

/** Does a network hold an address? */
export function holds(cidr: Cidr, address: string): boolean {
  const [first, last] = bounds(cidr)
  const number = numberOf(address)
  return number !== null && number >= first && number <= last
}

/** Have two networks an address in common? */
export function overlaps(a: Cidr, b: Cidr): boolean {
  const [firstA, lastA] = bounds(a)
  const [firstB, lastB] = bounds(b)
  return firstA <= lastB && firstB <= lastA
}

/** Docker's own choice of networks, in its order. */
const CANDIDATES: readonly Cidr[] = [
  ...Array.from({ length: 15 }, (_, i) => ({ address: `172.${17 + i}.0.0`, prefix: 16 })),
  ...Array.from({ length: 16 }, (_, i) => ({ address: `192.168.${16 * i}.0`, prefix: 20 })),
]

const fail = (cause: string) => Result.fail(new PoolFault({ cause }))

/** A bridge address nobody uses: the first of the usual networks that none of `taken` touches. */
export function freeBridge(taken: readonly Cidr[]): Result.Result<Cidr, PoolFault> {
  const free = CANDIDATES.find((candidate) => !taken.some((other) => overlaps(candidate, other)))
  return free === undefined
    ? fail("could not find an available, non-overlapping IPv4 address pool among the defaults")
    : Result.succeed({ ...free, address: addressOf(bounds(free)[0] + 1) })
}

/**
 * The pool of the default bridge. `bip`: its address; `fixedCidr`: the part of its network for
 * containers, empty for all; `defaultGateway`: empty for the bridge.
 */
export function bridgePool(settings: {
  readonly bip: Cidr
  readonly fixedCidr: string
  readonly defaultGateway: string
}): Result.Result<Pool, PoolFault> {
  const { bip, fixedCidr, defaultGateway } = settings
  const subnet = subnetOf(bip)
  if (bip.prefix > PREFIX_MAX || bip.address === subnet.address) {
    return fail(`invalid bridge address ${formatCidr(bip)}: no room for containers`)
  }
  const range = fixedCidr === "" ? subnet : parseCidr(fixedCidr)
  if (range === null) return fail(`invalid CIDR address: ${fixedCidr}`)
  if (range.prefix < bip.prefix || !overlaps(subnet, range)) {
    return fail(`invalid fixed CIDR ${fixedCidr}: not within ${formatCidr(subnet)}`)
  }
  const gateway = defaultGateway === "" ? bip.address : defaultGateway
  if (!holds(subnet, gateway)) {
    return fail(`default gateway ${gateway} is not within ${formatCidr(subnet)}`)
  }
  return Result.succeed({ subnet, range: subnetOf(range), bridge: bip.address, gateway })
}

/**
 * The lowest address nobody has. Never the network's own, its broadcast, the bridge's or the
 * gateway's. `taken` are those of the containers that run.
 */
export function allocate(
  pool: Pool,
  taken: ReadonlySet<string>,
): Result.Result<string, PoolFault> {
  const [network, broadcast] = bounds(pool.subnet)
  const [first, last] = bounds(pool.range)
  const end = Math.min(last, broadcast - 1)
  for (let number = Math.max(first, network + 1); number <= end; number++) {
    const address = addressOf(number)
    if (address === pool.bridge || address === pool.gateway || taken.has(address)) continue
    return Result.succeed(address)
  }
  return fail("no available IPv4 addresses on this network's address pools: bridge")
}
