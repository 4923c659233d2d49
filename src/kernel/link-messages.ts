import type { Bridge, Endpoint } from "./links.ts"
import { attribute, attributes, ipv4, macBytes, text, textOf, unsigned32 } from "./netlink.ts"

/*
 * What is said to rtnetlink(7), and what it says: bytes in, bytes out, no calls. The numbers are
 * those of linux/if_link.h, linux/if_addr.h and linux/rtnetlink.h.
 */

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
const LINK_HEADER_BYTES = 16
const ADDRESS_HEADER_BYTES = 8

/** The container's end. */
export const INSIDE = "eth0"

/** struct ifinfomsg; index 0: whichever the attributes name, or a new one. */
function linkHeader(index: number, isUp: boolean): Buffer {
  const buffer = Buffer.alloc(LINK_HEADER_BYTES)
  buffer.writeInt32LE(index, 4)
  buffer.writeUInt32LE(isUp ? IFF_UP : 0, 8)
  buffer.writeUInt32LE(isUp ? IFF_UP : 0, 12)
  return buffer
}

const linkMessage = (index: number, ...attributes: readonly Buffer[]): Buffer =>
  Buffer.concat([linkHeader(index, false), ...attributes])

const nameAttribute = (name: string): Buffer => attribute(IFLA_IFNAME, text(name))
const mtuAttribute = (mtu: number): Buffer => attribute(IFLA_MTU, unsigned32(mtu))

export const allLinks = (): Buffer => linkMessage(0)

export const linkNamed = (name: string): Buffer => linkMessage(0, nameAttribute(name))

export const linkUp = (index: number): Buffer => linkHeader(index, true)

export const linkMtu = (index: number, mtu: number): Buffer => linkMessage(index, mtuAttribute(mtu))

/** No IPv6 address of a link's own accord. */
export const linkWithoutIpv6 = (index: number): Buffer => {
  const mode = attribute(IFLA_INET6_ADDR_GEN_MODE, Buffer.from([IN6_ADDR_GEN_MODE_NONE]))
  return linkMessage(index, attribute(IFLA_AF_SPEC, attribute(AF_INET6, mode)))
}

export const newBridge = ({ name, mac }: Bridge): Buffer =>
  linkMessage(
    0,
    nameAttribute(name),
    attribute(IFLA_ADDRESS, macBytes(mac)),
    attribute(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, text("bridge"))),
  )

/** Both ends at once: ours on the bridge and up, the other where it belongs. veth(4). */
export function newPair({ link, mac }: Endpoint, bridge: Link, namespace: number): Buffer {
  const peer = linkMessage(
    0,
    nameAttribute(INSIDE),
    mtuAttribute(bridge.mtu),
    attribute(IFLA_ADDRESS, macBytes(mac)),
    attribute(IFLA_NET_NS_FD, unsigned32(namespace)),
  )
  return Buffer.concat([
    linkHeader(0, true),
    nameAttribute(link),
    mtuAttribute(bridge.mtu),
    attribute(IFLA_MASTER, unsigned32(bridge.index)),
    attribute(
      IFLA_LINKINFO,
      attribute(IFLA_INFO_KIND, text("veth")),
      attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer)),
    ),
  ])
}

/** How the bridge treats a port. bridge(8): `hairpin`, `isolated`. */
export const portModes = ({ link, isolated, hairpin }: Endpoint): Buffer =>
  linkMessage(
    0,
    nameAttribute(link),
    attribute(
      IFLA_LINKINFO,
      attribute(IFLA_INFO_SLAVE_KIND, text("bridge")),
      attribute(
        IFLA_INFO_SLAVE_DATA,
        attribute(IFLA_BRPORT_MODE, Buffer.from([hairpin === true ? 1 : 0])),
        attribute(IFLA_BRPORT_ISOLATED, Buffer.from([isolated === true ? 1 : 0])),
      ),
    ),
  )

/** struct ifaddrmsg, for IPv4. */
function addressHeader(index: number, prefix: number): Buffer {
  const header = Buffer.alloc(ADDRESS_HEADER_BYTES)
  header[0] = AF_INET
  header[1] = prefix
  header.writeUInt32LE(index, 4)
  return header
}

export const allAddresses = (): Buffer => addressHeader(0, 0)

export const addressMessage = ({ index, address, prefix }: Address): Buffer =>
  Buffer.concat([
    addressHeader(index, prefix),
    attribute(IFA_LOCAL, ipv4(address)),
    attribute(IFA_ADDRESS, ipv4(address)),
    attribute(IFA_BROADCAST, broadcast(address, prefix)),
  ])

/** The subnet's last address. */
function broadcast(address: string, prefix: number): Buffer {
  const bytes = ipv4(address)
  bytes.writeUInt32BE((bytes.readUInt32BE() | (2 ** (32 - prefix) - 1)) >>> 0)
  return bytes
}

/** struct rtmsg and its attributes. */
export function defaultRoute(index: number, gateway: string): Buffer {
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

/** A link as a list has it. */
export function linkOf(body: Buffer): Link {
  const found = attributes(body.subarray(LINK_HEADER_BYTES))
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

/** An address as a list has it. */
export function addressOf(body: Buffer): Address {
  const local = attributes(body.subarray(ADDRESS_HEADER_BYTES)).get(IFA_LOCAL)
  return {
    index: body.readUInt32LE(4),
    address: [...local ?? []].join("."),
    prefix: body.readUInt8(1),
  }
}
