import * as Effect from "effect/Effect"
import {
  type BridgeState,
  type NetworkName,
  networkOf,
  Networks,
  NETWORKS,
} from "../engine/networks.ts"
import { listContainers, type ContainerView } from "../engine/views/container.ts"
import { containerOf } from "./containers.ts"
import { ApiFault, notFound, notYet } from "./faults.ts"
import { readJson } from "./json.ts"
import { labelsMatch, queryFilters } from "./query.ts"
import { attempt, type Call, route } from "./route.ts"
import { endpoints } from "./schema/network.ts"
import { json } from "./stream.ts"

const NAMES = Object.keys(NETWORKS) as NetworkName[]

/** How the bridge is laid out, in the words of its driver's options. */
const optionsOf = (bridge: BridgeState | null): Readonly<Record<string, string>> =>
  bridge === null ? {} : {
    "com.docker.network.bridge.default_bridge": "true",
    "com.docker.network.bridge.enable_icc": String(bridge.icc),
    "com.docker.network.bridge.enable_ip_masquerade": String(bridge.masquerade),
    "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
    "com.docker.network.bridge.name": bridge.name,
    "com.docker.network.driver.mtu": String(bridge.mtu),
  }

const rangesOf = (bridge: BridgeState | null) =>
  bridge === null || bridge.subnet === "" ? [] : [{
    Subnet: bridge.subnet,
    ...(bridge.range === "" ? {} : { IPRange: bridge.range }),
    Gateway: bridge.gateway,
  }]

/** A network as Docker shows it: all there is to say of one that nobody made. */
const shown = (
  name: NetworkName,
  bridge: BridgeState | null,
  views: readonly ContainerView[],
) => ({
  Name: name,
  Id: NETWORKS[name].id,
  Created: "1970-01-01T00:00:00Z",
  Scope: "local",
  Driver: NETWORKS[name].driver,
  EnableIPv4: true,
  EnableIPv6: false,
  IPAM: { Driver: "default", Options: null, Config: rangesOf(name === "bridge" ? bridge : null) },
  Internal: false,
  Attachable: false,
  Ingress: false,
  ConfigFrom: { Network: "" },
  ConfigOnly: false,
  Containers: Object.fromEntries(
    views.filter((view) => networkOf(view.terms) === name && view.state.pid !== 0).map((view) => {
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
  Options: optionsOf(name === "bridge" ? bridge : null),
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
    const bridge = yield* (yield* Networks).bridge
    return json(wanted.map((name) => shown(name, bridge, [])))
  })

/** The network a call names. */
const networkIn = ({ params }: Call) =>
  attempt(() => {
    const asked = params["name"]!
    const name = NAMES.find((each) => each === asked || NETWORKS[each].id.startsWith(asked))
    if (name === undefined) throw notFound(`network ${asked} not found`)
    return name
  })

const inspect = (call: Call) =>
  Effect.gen(function*() {
    const name = yield* networkIn(call)
    const bridge = yield* (yield* Networks).bridge
    return json(shown(name, bridge, yield* listContainers))
  })

const remove = (call: Call) =>
  Effect.flatMap(networkIn(call), (name) =>
    Effect.fail(
      ApiFault.of("forbidden", `${name} is a pre-defined network and cannot be removed`),
    ))

const prune = (call: Call) =>
  Effect.map(
    attempt(() => queryFilters(call.query, ["label", "label!", "until"])),
    () => json({ NetworksDeleted: null }),
  )

/** Joining and leaving: what is named must at least be there. */
const joining = (what: string) => (call: Call) =>
  Effect.gen(function*() {
    yield* networkIn(call)
    const body = yield* readJson(call.request)
    const { Container: name } = Object(body) as { readonly Container?: unknown }
    yield* containerOf({ ...call, params: { name: typeof name === "string" ? name : "" } })
    return yield* notYet(`${what} a network`)
  })

/** Routes about the networks every engine has. Others cannot be made yet. */
export const networkRoutes = [
  route("GET", "/networks", list),
  route("POST", "/networks/prune", prune),
  route("POST", "/networks/{name}/connect", joining("connecting a container to")),
  route("POST", "/networks/{name}/disconnect", joining("disconnecting a container from")),
  route("GET", "/networks/{name}", inspect),
  route("DELETE", "/networks/{name}", remove),
]
