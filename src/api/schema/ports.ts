import type { Port } from "../../oci/terms.ts"
import { invalid, notYet } from "../faults.ts"
import type { Config, HostConfig } from "./docker.ts"

const PORT_MOST = 65_535

const number = (text: string): number => {
  if (!/^\d{1,5}$/.test(text) || Number(text) > PORT_MOST) throw badSpec(text)
  return Number(text)
}
const badSpec = (text: string) => invalid(`invalid port specification: "${text}"`)

interface Range {
  readonly first: number
  readonly last: number
}
const range = (text: string): Range => {
  const [from = "", to = from, ...more] = text.split("-")
  const [first, last] = [number(from), number(to)]
  if (more.length > 0 || last < first) throw badSpec(text)
  return { first, last }
}

/** Reads `80`, `80/tcp`, `53/udp`: the port inside a container. */
export function portOf(text: string): { readonly port: number; readonly protocol: "tcp" | "udp" } {
  const [port = "", protocol = "tcp", ...more] = text.split("/")
  const lower = protocol.toLowerCase()
  if (lower === "sctp") throw notYet("publishing SCTP ports")
  if (more.length > 0 || (lower !== "tcp" && lower !== "udp")) {
    throw invalid(`invalid proto: ${protocol}`)
  }
  return { port: number(port), protocol: lower }
}

const IP = /^(?:\d{1,3}(?:\.\d{1,3}){3}|\[?[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\]?)$/

/** The ports a container publishes. `PublishAllPorts` gives each exposed one any free host port. */
export function portsOf(config: Config, host: HostConfig): Port[] {
  const ports = Object.entries(host.PortBindings ?? {}).flatMap(([key, bindings]) => {
    const inside = portOf(key)
    return bindings.map(({ HostIp: hostIp = "", HostPort: hostPort = "" }): Port => {
      if (hostIp !== "" && !IP.test(hostIp)) throw invalid(`invalid IP address: ${hostIp}`)
      const { first, last } = range(hostPort === "" ? "0" : hostPort)
      const choice = last > first ? { hostPortLast: last } : {}
      return { ...inside, hostIp, hostPort: first, ...choice }
    })
  })
  if (host.PublishAllPorts !== true) return ports
  const bound = new Set(ports.map(({ port, protocol }) => `${port}/${protocol}`))
  const open = Object.keys(config.ExposedPorts ?? {}).map(portOf)
    .filter(({ port, protocol }) => !bound.has(`${port}/${protocol}`))
  return [...ports, ...open.map((inside) => ({ ...inside, hostIp: "", hostPort: 0 }))]
}
