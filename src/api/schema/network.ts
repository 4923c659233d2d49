import { networkOf, NETWORKS } from "../../engine/networks.ts"
import type { ContainerView } from "../../engine/views/container.ts"
import type { Given } from "./agree.ts"
import type { NetworkingConfig } from "./docker.ts"

/** An endpoint's ID follows from its container's: there is at most one. */
const endpointOf = (id: string): string => [...id].reverse().join("")

const ANY_ADDRESS = "0.0.0.0"

/** A container on its network, as inspect and list show it. */
export function endpoints(view: ContainerView, asked: NetworkingConfig = {}) {
  const name = networkOf(view.terms)
  if (name === null) return {}
  const { network, state } = view
  const up = state.pid !== 0
  const config = asked.EndpointsConfig?.[name] ?? {}
  return {
    [name]: {
      IPAMConfig: config.IPAMConfig ?? null,
      Links: null,
      Aliases: config.Aliases ?? null,
      MacAddress: network?.mac ?? "",
      NetworkID: state.startedMs === 0 ? "" : NETWORKS[name].id,
      EndpointID: up ? endpointOf(view.id) : "",
      Gateway: network?.gateway ?? "",
      IPAddress: network?.address ?? "",
      IPPrefixLen: network?.prefix ?? 0,
      IPv6Gateway: "",
      GlobalIPv6Address: "",
      GlobalIPv6PrefixLen: 0,
      DriverOpts: config.DriverOpts ?? null,
      DNSNames: null,
    },
  }
}

interface Open {
  readonly port: number
  readonly protocol: string
  readonly hostIp: string
  readonly hostPort: number | null
}

/** Every port of a running container: published, or only exposed. */
export function openPorts(view: ContainerView): Open[] {
  if (view.network === null || view.state.pid === 0) return []
  const published = view.network.ports
    .map((port): Open => ({ ...port, hostIp: port.hostIp || ANY_ADDRESS }))
  const known = new Set(published.map(({ port, protocol }) => `${port}/${protocol}`))
  const { Config: config } = view.given as Given
  const exposed = Object.keys(config.ExposedPorts ?? {})
    .map((key) => key.split("/") as [string, string?])
    .map(([port, protocol = "tcp"]): Open => {
      return { port: Number(port), protocol, hostIp: "", hostPort: null }
    })
    .filter(({ port, protocol }) => !known.has(`${port}/${protocol}`))
  return [...published, ...exposed]
}

function portMap(view: ContainerView) {
  const map: Record<string, { HostIp: string; HostPort: string }[] | null> = {}
  for (const { port, protocol, hostIp, hostPort } of openPorts(view)) {
    const key = `${port}/${protocol}`
    if (hostPort === null) map[key] ??= null
    else map[key] = [...map[key] ?? [], { HostIp: hostIp, HostPort: String(hostPort) }]
  }
  return map
}

/** `NetworkSettings` of inspect, with the old members at its top that speak of the bridge. */
export function networkSettings(view: ContainerView, asked: NetworkingConfig) {
  const { network, state, id } = view
  const own = state.pid !== 0 && networkOf(view.terms) !== null
  return {
    Bridge: "",
    SandboxID: own ? id : "",
    SandboxKey: own ? `/proc/${state.pid}/ns/net` : "",
    Ports: portMap(view),
    HairpinMode: false,
    LinkLocalIPv6Address: "",
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: network === null ? "" : endpointOf(id),
    Gateway: network?.gateway ?? "",
    GlobalIPv6Address: "",
    GlobalIPv6PrefixLen: 0,
    IPAddress: network?.address ?? "",
    IPPrefixLen: network?.prefix ?? 0,
    IPv6Gateway: "",
    MacAddress: network?.mac ?? "",
    Networks: endpoints(view, asked),
  }
}
