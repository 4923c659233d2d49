import * as Effect from "effect/Effect"
import { listContainers, type ContainerView } from "../engine/views/container.ts"
import { notFound } from "./faults.ts"
import { labelsMatch, queryFilters } from "./query.ts"
import { attempt, type Call, route } from "./route.ts"
import { endpoints, type NetworkName, networkOf, NETWORKS } from "./schema/network.ts"
import { json } from "./stream.ts"

const NAMES = Object.keys(NETWORKS) as NetworkName[]

/** What is known of the bridge: where it is, is decided with the first container on it. */
const bridgeOf = (name: NetworkName, views: readonly ContainerView[]) =>
  name === "bridge" ? views.find(({ network }) => network !== null)?.network ?? null : null

function rangeOf(name: NetworkName, views: readonly ContainerView[]) {
  const bridge = bridgeOf(name, views)
  if (bridge === null) return []
  const { gateway, prefix } = bridge
  return [{ Subnet: `${masked(gateway, prefix)}/${prefix}`, Gateway: gateway }]
}

/** The network part of an IPv4 address. */
function masked(address: string, prefix: number): string {
  return address.split(".").map((byte, at) => {
    const bits = Math.min(Math.max(prefix - 8 * at, 0), 8)
    return Number(byte) & (0xff << (8 - bits))
  }).join(".")
}

function optionsOf(name: NetworkName, views: readonly ContainerView[]): Record<string, string> {
  const bridge = bridgeOf(name, views)
  return bridge === null ? {} : {
    "com.docker.network.bridge.default_bridge": "true",
    "com.docker.network.bridge.name": bridge.bridge,
  }
}

/** A network as Docker shows it: all there is to say of one that nobody made. */
const shown = (name: NetworkName, views: readonly ContainerView[]) => ({
  Name: name,
  Id: NETWORKS[name].id,
  Created: "1970-01-01T00:00:00Z",
  Scope: "local",
  Driver: NETWORKS[name].driver,
  EnableIPv4: true,
  EnableIPv6: false,
  IPAM: { Driver: "default", Options: null, Config: rangeOf(name, views) },
  Internal: false,
  Attachable: false,
  Ingress: false,
  ConfigFrom: { Network: "" },
  ConfigOnly: false,
  Containers: Object.fromEntries(
    views.filter((view) => networkOf(view) === name && view.state.pid !== 0).map((view) => {
      const at = endpoints(view)[name]!
      return [view.id, {
        Name: view.name,
        EndpointID: at.EndpointID,
        MacAddress: at.MacAddress,
        IPv4Address: at.IPAddress === "" ? "" : `${at.IPAddress}/${at.IPPrefixLen}`,
        IPv6Address: "",
      }]
    }),
  ),
  Options: optionsOf(name, views),
  Labels: {},
})

const FILTERS = ["dangling", "driver", "id", "label", "name", "scope", "type"]

const list = (call: Call) =>
  Effect.gen(function*() {
    const filters = yield* attempt(() => queryFilters(call.query, FILTERS))
    const any = (filter: string, test: (value: string) => boolean) =>
      filters.get(filter)?.some(test) ?? true
    const wanted = NAMES.filter((name) =>
      any("name", (value) => name.includes(value)) &&
      any("id", (value) => NETWORKS[name].id.startsWith(value)) &&
      any("driver", (value) => NETWORKS[name].driver === value) &&
      any("scope", (value) => value === "local") &&
      any("type", (value) => value === "builtin") &&
      any("dangling", (value) => value === "false" || value === "0") &&
      labelsMatch({}, filters.get("label"))
    )
    const views = yield* listContainers
    return json(wanted.map((name) => ({ ...shown(name, views), Containers: {} })))
  })

const inspect = (call: Call) =>
  Effect.gen(function*() {
    const asked = call.params["name"]!
    const name = NAMES.find((each) => each === asked || NETWORKS[each].id.startsWith(asked))
    if (name === undefined) return yield* notFound(`network ${asked} not found`)
    return json(shown(name, yield* listContainers))
  })

/** Routes that look at the networks every engine has. Others cannot be made yet. */
export const networkRoutes = [
  route("GET", "/networks", list),
  route("GET", "/networks/{name}", inspect),
]
