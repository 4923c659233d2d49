import { isAddress } from "./pools.ts"

/** What a container's /etc/hosts is made from. */
export interface HostsInput {
  readonly hostname: string
  readonly domainname: string
  /** Its address on the bridge; null: it has none. */
  readonly address: string | null
  /** `name:address`, or `name:host-gateway`. */
  readonly extraHosts: readonly string[]
  /** What `host-gateway` stands for: the bridge's address. */
  readonly hostGateway: string
}

const LOCAL = [
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::0\tip6-localnet",
  "ff00::0\tip6-mcastprefix",
  "ff02::1\tip6-allnodes",
  "ff02::2\tip6-allrouters",
]

/** /etc/hosts of a container with a network of its own. hosts(5). */
export function hostsText(input: HostsInput): string {
  const { hostname, domainname, address } = input
  const full = domainname === "" ? hostname : `${hostname}.${domainname}`
  const [short = ""] = full.split(".")
  const names = short === full ? full : `${full} ${short}`
  const own = address === null ? [] : [`${address}\t${names}`]
  return `${[...LOCAL, ...extraLines(input), ...own].join("\n")}\n`
}

/** /etc/hosts of a container on the host's network: the host's own, and what was asked for. */
export function hostNetworkHostsText(
  hostsOfHost: string,
  input: Pick<HostsInput, "extraHosts" | "hostGateway">,
): string {
  const end = hostsOfHost === "" || hostsOfHost.endsWith("\n") ? "" : "\n"
  return [hostsOfHost + end, ...extraLines(input).map((line) => `${line}\n`)].join("")
}

const extraLines = ({ extraHosts, hostGateway }: Pick<HostsInput, "extraHosts" | "hostGateway">) =>
  extraHosts.flatMap((entry) => {
    const extra = parseExtraHost(entry)
    if (extra === null) return []
    return [`${extra.address === "host-gateway" ? hostGateway : extra.address}\t${extra.name}`]
  })

/** Not its whole grammar: enough that nothing else can get into the file. */
const IPV6 = /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/

/** Reads `name:address` (or `name=address`); null: it is neither. */
export function parseExtraHost(
  text: string,
): { readonly name: string; readonly address: string } | null {
  const [, name = "", given = ""] = /^([^:=\s]+)[:=](\S+)$/.exec(text) ?? []
  const address = given.replace(/^\[(.*)\]$/, "$1")
  const isKnown = address === "host-gateway" || isAddress(address) || IPV6.test(address)
  return name !== "" && isKnown ? { name, address } : null
}

/** What a container's /etc/resolv.conf is made from. Empty lists: the host's. */
export interface ResolvInput {
  /** The host's file; empty if it has none. */
  readonly resolvOfHost: string
  /** On the host's network the host's own nameservers can be reached, on 127.0.0.1 too. */
  readonly isHostNetwork: boolean
  readonly dns: readonly string[]
  readonly dnsSearch: readonly string[]
  readonly dnsOptions: readonly string[]
}

/** Where nothing better is known: what Docker takes. */
const FALLBACK = ["8.8.8.8", "8.8.4.4"]

/**
 * /etc/resolv.conf of a container (resolv.conf(5)). From the host's file nameservers are left out
 * that a container could not reach: those on the loopback, and those with IPv6 addresses.
 */
export function resolvText(input: ResolvInput): string {
  const { resolvOfHost, isHostNetwork, dns, dnsSearch, dnsOptions } = input
  const isAsIs = dns.length + dnsSearch.length + dnsOptions.length === 0
  if (isHostNetwork && isAsIs) return resolvOfHost
  const lines = resolvOfHost.split("\n").map((line) => line.trim())
  const reachable = (server: string) => isHostNetwork || isReachable(server)
  const servers = orElse(dns, orElse(valuesOf(lines, "nameserver").filter(reachable), FALLBACK))
  const search = orElse(dnsSearch, lastOf(lines, ["search", "domain"]))
  const options = orElse(dnsOptions, lastOf(lines, ["options"]))
  return [
    // A single dot: search nowhere, and say nothing of it.
    ...(search.length === 0 || search.join("") === "." ? [] : [`search ${search.join(" ")}`]),
    ...servers.map((server) => `nameserver ${server}`),
    ...(options.length === 0 ? [] : [`options ${options.join(" ")}`]),
  ].map((line) => `${line}\n`).join("")
}

const isReachable = (server: string): boolean => isAddress(server) && !server.startsWith("127.")

const orElse = (wanted: readonly string[], others: readonly string[]): readonly string[] =>
  wanted.length > 0 ? wanted : others

/** The first value of every line that begins with a keyword. */
const valuesOf = (lines: readonly string[], keyword: string): readonly string[] =>
  lines.map((line) => line.split(/\s+/)).filter(([first]) => first === keyword)
    .map(([, value = ""]) => value)

/** All values of the last line that begins with one of the keywords. */
const lastOf = (lines: readonly string[], keywords: readonly string[]): readonly string[] =>
  lines.map((line) => line.split(/\s+/)).findLast(([first = ""]) => keywords.includes(first))
    ?.slice(1) ?? []

/**
 * Does the host's file name nothing but systemd-resolved's stub? Then its real nameservers are in
 * /run/systemd/resolve/resolv.conf, and that is the file to start from.
 */
export function isStub(resolvOfHost: string): boolean {
  const servers = valuesOf(resolvOfHost.split("\n").map((line) => line.trim()), "nameserver")
  return servers.length === 1 && servers[0] === "127.0.0.53"
}

/** /etc/hostname. */
export const hostnameText = (hostname: string): string => `${hostname}\n`
