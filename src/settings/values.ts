/** Where the API listens. A `fd` names a socket of systemd's, or all of them where it is empty. */
export type Host =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "fd"; readonly name: string }

const TCP = /^(?:tcp:\/\/)?(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]*):(\d{1,5})\/?$/
const TCP_BARE = /^tcp:\/\/(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]*)\/?$/
/** The registered port of the Docker API without TLS. */
const DOCKER_PORT = 2375

/** Reads what -H names: `unix:///path`, `fd://`, `tcp://host:port`, `host:port`. Null: neither. */
export function toHost(text: string): Host | null {
  if (text.startsWith("unix://")) {
    const path = text.slice("unix://".length)
    return path.startsWith("/") ? { kind: "unix", path } : null
  }
  if (text.startsWith("fd://")) {
    const name = text.slice("fd://".length)
    return { kind: "fd", name: name === "*" ? "" : name }
  }
  const [, host, port = String(DOCKER_PORT)] = TCP.exec(text) ?? TCP_BARE.exec(text) ?? []
  if (host === undefined || Number(port) > 65_535) return null
  return { kind: "tcp", host: host.replace(/^\[|\]$/g, "") || "127.0.0.1", port: Number(port) }
}

const OCTET = "(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)"
const IPV4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`)
const CIDR = new RegExp(`^(${OCTET}(?:\\.${OCTET}){3})/(3[0-2]|[12]?\\d)$`)

/** Is it a dotted IPv4 address, or something with the shape of an IPv6 one? */
export const isAddress = (text: string): boolean =>
  IPV4.test(text) || (text.includes(":") && /^[0-9a-fA-F:.]+$/.test(text))

/** Is it an IPv4 network, `10.1.0.1/24`? */
export const isNetwork = (text: string): boolean => CIDR.test(text)

const toNumber = (address: string): number =>
  address.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0)

/** Does the network `outer` hold all of `inner`? Both as CIDR. */
export function contains(outer: string, inner: string): boolean {
  const [, outerAddress = "", outerBits = ""] = CIDR.exec(outer) ?? []
  const [, innerAddress = "", innerBits = ""] = CIDR.exec(inner) ?? []
  const size = 2 ** (32 - Number(outerBits))
  const block = (address: string) => Math.floor(toNumber(address) / size)
  return block(outerAddress) === block(innerAddress) && Number(innerBits) >= Number(outerBits)
}

const SIZE = /^(\d+(?:\.\d+)?) ?([kmgt]?)i?b?$/i
const POWERS = ["", "k", "m", "g", "t"]

/** Reads `64m`, `64MiB`, `67108864` as bytes, in powers of 1024 as Docker does. Null: neither. */
export function toBytes(text: string): number | null {
  const [, amount, unit = ""] = SIZE.exec(text.trim()) ?? []
  if (amount === undefined) return null
  return Math.floor(Number(amount) * 1024 ** POWERS.indexOf(unit.toLowerCase()))
}
