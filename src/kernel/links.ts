import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs"
import { Errno } from "./libc.ts"
import {
  type Address,
  addressMessage,
  addressOf,
  allAddresses,
  allLinks,
  defaultRoute,
  INSIDE,
  type Link,
  linkMtu,
  linkNamed,
  linkOf,
  linkUp,
  linkWithoutIpv6,
  newBridge,
  newPair,
  portModes,
} from "./link-messages.ts"
import { type Netlink, NLM_F_CREATE_EXCL, openNetlink, openNetlinkIn } from "./netlink.ts"

/** What one container has on a bridge. Addresses are dotted IPv4; `prefix` is the bridge's. */
export interface Endpoint {
  /** The bridge's interface name on the host. */
  readonly bridge: string
  /** Name of the host's end of the veth pair; follows from the container's id. At most 15 bytes. */
  readonly link: string
  readonly address: string
  readonly prefix: number
  readonly gateway: string
  /** `02:42:ac:11:00:02`, derived from the address as Docker does. */
  readonly mac: string
  /** Keep it from the other containers on the bridge (Docker's `--icc=false`). */
  readonly isolated?: boolean
  /**
   * Let packets go out where they came in: needed where ports are published, for a container that
   * asks for its own port by way of the host on a machine whose filter looks at bridged packets
   * (br_netfilter). Its broadcasts come back to it then, so only there.
   */
  readonly hairpin?: boolean
}

/** A bridge of this engine's own. */
export interface Bridge {
  readonly name: string
  /** Its own address: the gateway of the containers on it. */
  readonly address: string
  readonly prefix: number
  /** Fixed: else it would be the lowest of its ports', and change as containers come and go. */
  readonly mac: string
  /** Bytes; its containers' links have the same. */
  readonly mtu: number
  /** Let the host forward packets, if it does not already. */
  readonly forward: boolean
}

const EEXIST = 17
const ENODEV = 19
const LOOPBACK_INDEX = 1

/** The socket on this daemon's own network namespace, opened with the first call. */
let host: Netlink | null = null
const onHost = (): Netlink => host ??= openNetlink()

const listLinks = (netlink: Netlink): readonly Link[] =>
  netlink.dump("GETLINK", allLinks()).map(linkOf)

const listAddresses = (netlink: Netlink): readonly Address[] =>
  netlink.dump("GETADDR", allAddresses()).map(addressOf)

const findLink = (netlink: Netlink, name: string): Link | undefined =>
  listLinks(netlink).find((link) => link.name === name)

/** The host's interfaces whose names begin with `prefix`. */
export const links = (prefix: string): readonly Link[] =>
  listLinks(onHost()).filter(({ name }) => name.startsWith(prefix))

/** The ports of a bridge: what a boot sweep looks through. Empty if there is no such bridge. */
export function linksOn(bridge: string): readonly Link[] {
  const all = listLinks(onHost())
  const index = all.find(({ name }) => name === bridge)?.index
  return all.filter((link) => link.bridge === index)
}

/** All IPv4 addresses of the host: networks that are taken. */
export const addresses = (): readonly Address[] => listAddresses(onHost())

/** The first IPv4 address of an interface; null: it has none, or is not there. */
export function addressOn(name: string): Address | null {
  const netlink = onHost()
  const index = findLink(netlink, name)?.index
  return listAddresses(netlink).find((address) => address.index === index) ?? null
}

const setUp = (netlink: Netlink, index: number, name: string): void =>
  netlink.request("NEWLINK", 0, name, linkUp(index))

/** Does what may fail for one of these reasons, and says whether it did. */
function tolerating(codes: readonly string[], act: () => void): boolean {
  try {
    act()
    return true
  } catch (error) {
    if (error instanceof Errno && codes.includes(error.code)) return false
    throw error
  }
}

/** Containers have IPv4 only, and their links stay quiet. */
function withoutIpv6(netlink: Netlink, index: number, name: string): void {
  const act = () => netlink.request("NEWLINK", 0, name, linkWithoutIpv6(index))
  tolerating(["EAFNOSUPPORT", "EOPNOTSUPP"], act) // a kernel without IPv6
}

/**
 * Makes a bridge, or puts right the one that is there, and lets the host forward for it.
 * Idempotent. Throws `Errno`; `EEXIST` if something that is no bridge has its name.
 */
export function ensureBridge(bridge: Bridge): void {
  const netlink = onHost()
  tolerating(["EEXIST"], () =>
    netlink.request("NEWLINK", NLM_F_CREATE_EXCL, bridge.name, newBridge(bridge)))
  const link = findLink(netlink, bridge.name)
  if (link?.kind !== "bridge") throw new Errno("bridge", bridge.name, EEXIST)
  const { index, name } = link
  const { address, prefix } = bridge
  const others = listAddresses(netlink).filter((other) =>
    other.index === index && (other.address !== address || other.prefix !== prefix)
  )
  for (const other of others) {
    netlink.request("DELADDR", 0, `${name} ${other.address}`, addressMessage(other))
  }
  tolerating(["EEXIST"], () => addAddress(netlink, name, { index, address, prefix }))
  if (link.mtu !== bridge.mtu) netlink.request("NEWLINK", 0, name, linkMtu(index, bridge.mtu))
  withoutIpv6(netlink, index, name)
  setUp(netlink, index, name)
  if (bridge.forward) setSysctl("net/ipv4/ip_forward", "1")
  // Else what the host sends to a published port by way of 127.0.0.1 could not come back.
  setSysctl(`net/ipv4/conf/${name}/route_localnet`, "1")
}

/** Sets a switch in /proc/sys, unless it is set: that may be read-only to us. */
function setSysctl(path: string, value: string): void {
  const file = `/proc/sys/${path}`
  if (readFileSync(file, "utf8").trim() !== value) writeFileSync(file, value)
}

const addAddress = (netlink: Netlink, name: string, address: Address): void =>
  netlink.request(
    "NEWADDR",
    NLM_F_CREATE_EXCL,
    `${name} ${address.address}`,
    addressMessage(address),
  )

/** Removes a bridge; the links on it stay, unconnected. Idempotent. */
export const removeBridge = (name: string): void => removeLink(name)

/**
 * Removes an interface of the host; with it goes a veth's other end, wherever it is. Slow for a
 * veth (tens of milliseconds): not on a container's way out, where it goes with its namespace.
 * Idempotent.
 */
export function removeLink(name: string): void {
  const netlink = onHost()
  tolerating(["ENODEV"], () => netlink.request("DELLINK", 0, name, linkNamed(name)))
}

/**
 * Connects the network namespace of process `pid` to a bridge: a veth pair, the inner end with its
 * address, and the default route. To be called between the runtime's create and start. Anything
 * left by an earlier try under the same name is replaced. About a millisecond.
 */
export function connect(endpoint: Endpoint, pid: number): void {
  const { link, isolated, hairpin } = endpoint
  const netlink = onHost()
  const bridge = findLink(netlink, endpoint.bridge)
  if (bridge === undefined) throw new Errno("bridge", endpoint.bridge, ENODEV)
  const namespace = openSync(`/proc/${pid}/ns/net`, "r")
  try {
    const pair = newPair(endpoint, bridge, namespace)
    const make = () => netlink.request("NEWLINK", NLM_F_CREATE_EXCL, link, pair)
    if (!tolerating(["EEXIST"], make)) {
      if (findLink(netlink, link)?.kind === "veth") removeLink(link)
      make()
    }
    if (isolated === true || hairpin === true) {
      netlink.request("NEWLINK", 0, link, portModes(endpoint))
    }
    const inside = openNetlinkIn(namespace)
    try {
      configure(inside, endpoint)
    } finally {
      inside.close()
    }
  } finally {
    closeSync(namespace)
  }
}

/** The inner end, seen from inside. */
function configure(netlink: Netlink, { address, prefix, gateway }: Endpoint): void {
  setUp(netlink, LOOPBACK_INDEX, "lo")
  const link = findLink(netlink, INSIDE)
  if (link === undefined) throw new Errno("link", INSIDE, ENODEV)
  const { index } = link
  withoutIpv6(netlink, index, INSIDE)
  addAddress(netlink, INSIDE, { index, address, prefix })
  setUp(netlink, index, INSIDE)
  const route = defaultRoute(index, gateway)
  netlink.request("NEWROUTE", NLM_F_CREATE_EXCL, `default ${gateway}`, route)
}
