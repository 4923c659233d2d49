import { hostnameText, hostNetworkHostsText, hostsText, isStub, resolvText } from "../net/hosts.ts"
import type { Terms } from "../oci/terms.ts"
import type { NetworkState } from "./networks.ts"

/** Where systemd-resolved keeps the real nameservers behind its stub. */
const RESOLVED = "/run/systemd/resolve/resolv.conf"

/** What the engine's settings say of names, for containers that say nothing themselves. */
export interface NameSettings {
  readonly dns: readonly string[]
  readonly dnsSearch: readonly string[]
  readonly dnsOpts: readonly string[]
  /** What `host-gateway` stands for; empty: the bridge's address. */
  readonly hostGatewayIp: string
}

/** The hostname, hosts and resolv.conf that a container finds below /etc, by file name. */
export const hostFilesOf = (
  terms: Terms,
  hostname: string,
  network: NetworkState | null,
  settings: NameSettings,
  read: (path: string) => string | null,
): Readonly<Record<string, string>> => {
  const isHostNetwork = terms.network.mode === "host"
  const { extraHosts } = terms.network
  const dns = orElse(terms.network.dns, settings.dns)
  const dnsSearch = orElse(terms.network.dnsSearch, settings.dnsSearch)
  const dnsOptions = orElse(terms.network.dnsOptions, settings.dnsOpts)
  const own = read("/etc/resolv.conf") ?? ""
  const resolvOfHost = isStub(own) && !isHostNetwork ? read(RESOLVED) ?? own : own
  const hostGateway = settings.hostGatewayIp || (network?.gateway ?? "127.0.0.1")
  const { domainname } = terms
  const address = network?.address ?? null
  return {
    hostname: hostnameText(hostname),
    hosts: isHostNetwork
      ? hostNetworkHostsText(read("/etc/hosts") ?? "", { extraHosts, hostGateway })
      : hostsText({ hostname, domainname, address, extraHosts, hostGateway }),
    "resolv.conf": resolvText({ resolvOfHost, isHostNetwork, dns, dnsSearch, dnsOptions }),
  }
}

const orElse = (asked: readonly string[], set: readonly string[]): readonly string[] =>
  asked.length > 0 ? asked : set
