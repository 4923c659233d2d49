import type { Port } from "../oci/terms.ts"
import { type Cidr, formatCidr, isAddress, subnetOf } from "./pools.ts"

/*
 * The packet filter, as text for `nft -f -` (nft(8)): one table of our own, so that nobody else's
 * rules are touched. The rules of a bridge never change while it is there; a published port is one
 * element in a map, and a container without published ports needs nothing at all.
 */

/** What the rules have to know of a bridge. */
export interface BridgeRules {
  readonly name: string
  /** Its address. */
  readonly cidr: Cidr
  /** May its containers talk to one another? (For what stays on the bridge: `isolated`.) */
  readonly icc: boolean
  /** Do they go out under the host's address? */
  readonly masquerade: boolean
}

/** A published port: who of the host's side is led to whom. */
export interface Published {
  /** The container's. */
  readonly address: string
  readonly port: Port
}

/** Everything, in one transaction: what was in the table before is gone with it. */
export function ruleset(
  table: string,
  bridges: readonly BridgeRules[],
  published: readonly Published[],
): string {
  return [
    ...clearing(table),
    `table ip ${table} {`,
    ...maps(published),
    ...translation(bridges),
    ...protection(bridges),
    "}",
    "",
  ].join("\n")
}

/** Takes the table away. Idempotent: naming it first makes it, if it is not there. */
export const removal = (table: string): string => `${clearing(table).join("\n")}\n`

const clearing = (table: string) => [`table ip ${plain(table)}`, `delete table ip ${plain(table)}`]

/** A name that cannot be mistaken for anything else in a rule. */
function plain(name: string): string {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name)) throw new Error(`not a name for rules: ${name}`)
  return name
}

/** Opens ports. Idempotent; refused as a whole if one of them leads elsewhere already. */
export const publishing = (table: string, published: readonly Published[]): string =>
  published.map((each) => `add element ip ${table} ${elementOf(each)}\n`).join("")

/** Closes ports. Idempotent: adding first makes certain that there is something to delete. */
export const withdrawing = (table: string, published: readonly Published[]): string =>
  published.map((each) =>
    `add element ip ${table} ${elementOf(each)}\n`
    + `delete element ip ${table} ${elementOf(each)}\n`
  ).join("")

const ANY = ["", "0.0.0.0"]

/** On every address of the host, or on one. */
const isAnywhere = ({ port }: Published): boolean => ANY.includes(port.hostIp)

/** `tcp . 8080 : 172.17.0.2 . 80`, with the host's address before it where one was given. */
function mapping(published: Published): string {
  const { address, port: { protocol, hostIp, hostPort, port } } = published
  const isSound = [address, ...(isAnywhere(published) ? [] : [hostIp])].every(isAddress)
    && [hostPort, port].every((each) => Number.isInteger(each) && each > 0 && each < 65536)
  // What comes from a client was checked at the door; text that becomes rules is checked again.
  if (!isSound) throw new Error(`not a published port: ${JSON.stringify(published)}`)
  const host = isAnywhere(published) ? "" : `${hostIp} . `
  return `${host}${protocol} . ${hostPort} : ${address} . ${port}`
}

const elementOf = (published: Published): string =>
  `${isAnywhere(published) ? "anywhere" : "somewhere"} { ${mapping(published)} }`

function maps(published: readonly Published[]): readonly string[] {
  const elements = (wanted: readonly Published[]) =>
    wanted.length === 0 ? [] : [`    elements = { ${wanted.map(mapping).join(", ")} }`]
  return [
    "  map anywhere {",
    "    type inet_proto . inet_service : ipv4_addr . inet_service",
    ...elements(published.filter(isAnywhere)),
    "  }",
    "  map somewhere {",
    "    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
    ...elements(published.filter((each) => !isAnywhere(each))),
    "  }",
  ]
}

const subnet = (bridge: BridgeRules): string => formatCidr(subnetOf(bridge.cidr))

/** Who is led where, and under whose address. */
const translation = (bridges: readonly BridgeRules[]): readonly string[] => [
  "  chain published {",
  "    dnat to ip daddr . meta l4proto . th dport map @somewhere",
  "    dnat to meta l4proto . th dport map @anywhere",
  "  }",
  "  chain prerouting {",
  "    type nat hook prerouting priority dstnat; policy accept;",
  "    fib daddr type local meta l4proto { tcp, udp } jump published",
  "  }",
  // The host's own connections do not come through prerouting.
  "  chain output {",
  "    type nat hook output priority -100; policy accept;",
  "    fib daddr type local meta l4proto { tcp, udp } jump published",
  "  }",
  "  chain postrouting {",
  "    type nat hook postrouting priority srcnat; policy accept;",
  ...bridges.flatMap((bridge) => {
    const { masquerade } = bridge
    const name = plain(bridge.name)
    return [
      // From 127.0.0.1 of the host: the container could not answer to that.
      `    oifname "${name}" ip saddr 127.0.0.0/8 masquerade`,
      // From a neighbour by way of the host: it would answer directly, as a stranger.
      `    oifname "${name}" ip saddr ${subnet(bridge)} ct status dnat masquerade`,
      ...(masquerade ? [`    oifname != "${name}" ip saddr ${subnet(bridge)} masquerade`] : []),
    ]
  }),
  "  }",
]

/** Who is kept out. Only packets from and to our bridges are looked at. */
const protection = (bridges: readonly BridgeRules[]): readonly string[] => [
  "  chain raw {",
  "    type filter hook prerouting priority raw; policy accept;",
  ...bridges.flatMap(({ name }) => [
    // A bridge with route_localnet would let containers reach what listens on 127.0.0.1 only.
    `    iifname "${name}" ip daddr 127.0.0.0/8 drop`,
    `    iifname "${name}" ip saddr 127.0.0.0/8 drop`,
  ]),
  "  }",
  "  chain forward {",
  "    type filter hook forward priority filter; policy accept;",
  ...bridges.flatMap(({ name, icc }) => [
    `    oifname "${name}" ct state established,related accept`,
    `    oifname "${name}" ct status dnat accept`,
    ...(icc ? [`    iifname "${name}" oifname "${name}" accept`] : []),
    `    oifname "${name}" drop`,
  ]),
  "  }",
]
