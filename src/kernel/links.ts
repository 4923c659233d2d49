import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs"
import { Errno } from "./libc.ts"
import {
  attribute,
  attributes,
  ipv4,
  macBytes,
  type Netlink,
  NLM_F_CREATE_EXCL,
  openNetlink,
  openNetlinkIn,
  text,
  textOf,
  unsigned32,
} from "./netlink.ts"

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

/** A network interface as the kernel lists it. */
export interface Link {
  readonly index: number
  readonly name: string
  /** `bridge`, `veth`, …; empty for hardware. */
  readonly kind: string
  readonly isUp: boolean
  readonly mtu: number
  /** The index of the bridge it is a port of; 0: of none. */
  readonly bridge: number
}

/** An IPv4 address of the host. */
export interface Address {
  readonly index: number
  readonly address: string
  readonly prefix: number
}

// linux/if_link.h, linux/if_addr.h, linux/rtnetlink.h
const IFLA_ADDRESS = 1
const IFLA_IFNAME = 3
const IFLA_MTU = 4
const IFLA_MASTER = 10
const IFLA_LINKINFO = 18
const IFLA_INFO_KIND = 1
const IFLA_INFO_DATA = 2
const IFLA_INFO_SLAVE_KIND = 4
const IFLA_INFO_SLAVE_DATA = 5
const IFLA_BRPORT_MODE = 4
const IFLA_BRPORT_ISOLATED = 33
const IFLA_AF_SPEC = 26
const IFLA_NET_NS_FD = 28
const IFLA_INET6_ADDR_GEN_MODE = 8
const IN6_ADDR_GEN_MODE_NONE = 1
const VETH_INFO_PEER = 1
const IFA_ADDRESS = 1
const IFA_LOCAL = 2
const IFA_BROADCAST = 4
const RTA_OIF = 4
const RTA_GATEWAY = 5
const RT_TABLE_MAIN = 254
const RTPROT_BOOT = 3
const RT_SCOPE_UNIVERSE = 0
const RTN_UNICAST = 1
const AF_INET = 2
const AF_INET6 = 10
const IFF_UP = 1
const LOOPBACK_INDEX = 1

/** The container's end. */
const INSIDE = "eth0"

/** The socket on this daemon's own network namespace, opened with the first call. */
let host: Netlink | null = null
const onHost = (): Netlink => host ??= openNetlink()

/** struct ifinfomsg */
function linkHeader(index: number, flags = 0, change = 0): Buffer {
  const buffer = Buffer.alloc(16)
  buffer.writeInt32LE(index, 4)
  buffer.writeUInt32LE(flags, 8)
  buffer.writeUInt32LE(change, 12)
  return buffer
}

/** struct ifaddrmsg and the address. */
function addressBody(index: number, address: string, prefix: number): Buffer {
  const header = Buffer.alloc(8)
  header[0] = AF_INET
  header[1] = prefix
  header.writeUInt32LE(index, 4)
  return Buffer.concat([
    header,
    attribute(IFA_LOCAL, ipv4(address)),
    attribute(IFA_ADDRESS, ipv4(address)),
    attribute(IFA_BROADCAST, broadcast(address, prefix)),
  ])
}

/** The subnet's last address. */
function broadcast(address: string, prefix: number): Buffer {
  const bytes = ipv4(address)
  bytes.writeUInt32BE((bytes.readUInt32BE() | (2 ** (32 - prefix) - 1)) >>> 0)
  return bytes
}

/** struct rtmsg: a default route. */
function defaultRoute(index: number, gateway: string): Buffer {
  const header = Buffer.alloc(12)
  header[0] = AF_INET
  header[4] = RT_TABLE_MAIN
  header[5] = RTPROT_BOOT
  header[6] = RT_SCOPE_UNIVERSE
  header[7] = RTN_UNICAST
  return Buffer.concat([
    header,
    attribute(RTA_GATEWAY, ipv4(gateway)),
    attribute(RTA_OIF, unsigned32(index)),
  ])
}

function linkOf(body: Buffer): Link {
  const found = attributes(body.subarray(16))
  const info = found.get(IFLA_LINKINFO)
  return {
    index: body.readInt32LE(4),
    name: textOf(found.get(IFLA_IFNAME)),
    kind: info === undefined ? "" : textOf(attributes(info).get(IFLA_INFO_KIND)),
    isUp: (body.readUInt32LE(8) & IFF_UP) !== 0,
    mtu: found.get(IFLA_MTU)?.readUInt32LE() ?? 0,
    bridge: found.get(IFLA_MASTER)?.readUInt32LE() ?? 0,
  }
}

const listLinks = (netlink: Netlink): readonly Link[] =>
  netlink.dump("GETLINK", linkHeader(0)).map(linkOf)

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
  netlink.request("NEWLINK", 0, name, linkHeader(index, IFF_UP, IFF_UP))

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

/** No IPv6 address of its own accord: containers have IPv4 only, and the link stays quiet. */
function withoutIpv6(netlink: Netlink, index: number, name: string): void {
  const mode = attribute(IFLA_INET6_ADDR_GEN_MODE, Buffer.from([IN6_ADDR_GEN_MODE_NONE]))
  const body = attribute(IFLA_AF_SPEC, attribute(AF_INET6, mode))
  tolerating(
    ["EAFNOSUPPORT", "EOPNOTSUPP"], // a kernel without IPv6
    () => netlink.request("NEWLINK", 0, name, Buffer.concat([linkHeader(index), body])),
  )
}

/**
 * Makes a bridge, or puts right the one that is there, and lets the host forward for it. Idempotent.
 * Throws `Errno`; `EEXIST` if something that is no bridge has its name.
 */
export function ensureBridge(bridge: Bridge): void {
  const netlink = onHost()
  tolerating(["EEXIST"], () =>
    netlink.request("NEWLINK", NLM_F_CREATE_EXCL, bridge.name, Buffer.concat([
      linkHeader(0),
      attribute(IFLA_IFNAME, text(bridge.name)),
      attribute(IFLA_ADDRESS, macBytes(bridge.mac)),
      attribute(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, text("bridge"))),
    ])))
  const link = findLink(netlink, bridge.name)
  if (link?.kind !== "bridge") throw new Errno("bridge", bridge.name, EEXIST)
  const { index, name } = link
  const others = listAddresses(netlink).filter((other) =>
    other.index === index
    && (other.address !== bridge.address || other.prefix !== bridge.prefix)
  )
  for (const { address, prefix } of others) {
    netlink.request("DELADDR", 0, `${name} ${address}`, addressBody(index, address, prefix))
  }
  tolerating(["EEXIST"], () =>
    netlink.request(
      "NEWADDR",
      NLM_F_CREATE_EXCL,
      `${name} ${bridge.address}`,
      addressBody(index, bridge.address, bridge.prefix),
    ))
  if (link.mtu !== bridge.mtu) {
    const mtu = attribute(IFLA_MTU, unsigned32(bridge.mtu))
    netlink.request("NEWLINK", 0, name, Buffer.concat([linkHeader(index), mtu]))
  }
  withoutIpv6(netlink, index, name)
  setUp(netlink, index, name)
  if (bridge.forward) setSysctl("net/ipv4/ip_forward", "1")
  // Else what the host sends to a published port by way of 127.0.0.1 could not come back.
  setSysctl(`net/ipv4/conf/${name}/route_localnet`, "1")
}

const EEXIST = 17

/** Sets a switch in /proc/sys, unless it is set: that may be read-only to us. */
function setSysctl(path: string, value: string): void {
  const file = `/proc/sys/${path}`
  if (readFileSync(file, "utf8").trim() !== value) writeFileSync(file, value)
}

function listAddresses(netlink: Netlink): readonly Address[] {
  const header = Buffer.alloc(8)
  header[0] = AF_INET
  return netlink.dump("GETADDR", header).map((body) => ({
    index: body.readUInt32LE(4),
    address: [...attributes(body.subarray(8)).get(IFA_LOCAL) ?? []].join("."),
    prefix: body.readUInt8(1),
  }))
}

/** Removes a bridge; the links on it stay, unconnected. Idempotent. */
export const removeBridge = (name: string): void => removeLink(name)

/**
 * Removes an interface of the host; with it goes a veth's other end, wherever it is. Slow for a
 * veth (tens of milliseconds): not on a container's way out, where it goes with its namespace.
 * Idempotent.
 */
export function removeLink(name: string): void {
  const netlink = onHost()
  tolerating(["ENODEV"], () =>
    netlink.request(
      "DELLINK",
      0,
      name,
      Buffer.concat([linkHeader(0), attribute(IFLA_IFNAME, text(name))]),
    ))
}

/**
 * Connects the network namespace of process `pid` to a bridge: a veth pair, the inner end with its
 * address, and the default route. To be called between the runtime's create and start. Anything
 * left by an earlier try under the same name is replaced. About a millisecond.
 */
export function connect(endpoint: Endpoint, pid: number): void {
  const netlink = onHost()
  const bridge = findLink(netlink, endpoint.bridge)
  if (bridge === undefined) throw new Errno("bridge", endpoint.bridge, ENODEV)
  const namespace = openSync(`/proc/${pid}/ns/net`, "r")
  try {
    const make = () => makePair(netlink, endpoint, bridge, namespace)
    if (!tolerating(["EEXIST"], make)) {
      removeLink(endpoint.link)
      make()
    }
    setPortModes(netlink, endpoint)
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

const ENODEV = 19

/** One request makes both ends: ours on the bridge and up, the other where it belongs. */
function makePair(
  netlink: Netlink,
  endpoint: Endpoint,
  bridge: Link,
  namespace: number,
): void {
  const mtu = attribute(IFLA_MTU, unsigned32(bridge.mtu))
  const peer = Buffer.concat([
    linkHeader(0),
    mtu,
    attribute(IFLA_IFNAME, text(INSIDE)),
    attribute(IFLA_ADDRESS, macBytes(endpoint.mac)),
    attribute(IFLA_NET_NS_FD, unsigned32(namespace)),
  ])
  netlink.request("NEWLINK", NLM_F_CREATE_EXCL, endpoint.link, Buffer.concat([
    linkHeader(0, IFF_UP, IFF_UP),
    attribute(IFLA_IFNAME, text(endpoint.link)),
    attribute(IFLA_MASTER, unsigned32(bridge.index)),
    mtu,
    attribute(
      IFLA_LINKINFO,
      attribute(IFLA_INFO_KIND, text("veth")),
      attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer)),
    ),
  ]))
}

/** How the bridge treats a port. bridge(8): `hairpin`, `isolated`. */
function setPortModes(netlink: Netlink, { link, isolated, hairpin }: Endpoint): void {
  if (isolated !== true && hairpin !== true) return
  const switchOf = (type: number, on: boolean | undefined) =>
    attribute(type, Buffer.from([on === true ? 1 : 0]))
  netlink.request("NEWLINK", 0, link, Buffer.concat([
    linkHeader(0),
    attribute(IFLA_IFNAME, text(link)),
    attribute(
      IFLA_LINKINFO,
      attribute(IFLA_INFO_SLAVE_KIND, text("bridge")),
      attribute(
        IFLA_INFO_SLAVE_DATA,
        switchOf(IFLA_BRPORT_MODE, hairpin),
        switchOf(IFLA_BRPORT_ISOLATED, isolated),
      ),
    ),
  ]))
}

function configure(netlink: Netlink, { address, prefix, gateway }: Endpoint): void {
  setUp(netlink, LOOPBACK_INDEX, "lo")
  const link = findLink(netlink, INSIDE)
  if (link === undefined) throw new Errno("link", INSIDE, ENODEV)
  const { index } = link
  withoutIpv6(netlink, index, INSIDE)
  netlink.request(
    "NEWADDR",
    NLM_F_CREATE_EXCL,
    `${INSIDE} ${address}`,
    addressBody(index, address, prefix),
  )
  setUp(netlink, index, INSIDE)
  netlink.request(
    "NEWROUTE",
    NLM_F_CREATE_EXCL,
    `default ${gateway}`,
    defaultRoute(index, gateway),
  )
}
