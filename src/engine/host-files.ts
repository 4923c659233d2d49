import { hostnameText, hostNetworkHostsText, hostsText, isStub, resolvText } from "../net/hosts.ts"
import type { Terms } from "../oci/terms.ts"
import type { NetworkState } from "./networks.ts"

/** Where systemd-resolved keeps the real nameservers behind its stub. */
const RESOLVED = "/run/systemd/resolve/resolv.conf"

/** The hostname, hosts and resolv.conf that a container finds below /etc, by file name. */
export const hostFilesOf = (
  terms: Terms,
  hostname: string,
  network: NetworkState | null,
  read: (path: string) => string | null,
): Readonly<Record<string, string>> => {
  const isHostNetwork = terms.network.mode === "host"
  const { dns, dnsSearch, dnsOptions, extraHosts } = terms.network
  const own = read("/etc/resolv.conf") ?? ""
  const resolvOfHost = isStub(own) && !isHostNetwork ? read(RESOLVED) ?? own : own
  const hostGateway = network?.gateway ?? "127.0.0.1"
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
