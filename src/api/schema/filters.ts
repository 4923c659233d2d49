import { networkOf, NETWORKS } from "../../engine/networks.ts"
import type { ContainerView, Status } from "../../engine/views/container.ts"
import { invalid } from "../faults.ts"
import { type Filters, filterBool, labelsMatch } from "../query.ts"
import type { Given } from "./agree.ts"
import { mountsOf } from "./mounts.ts"
import { openPorts } from "./network.ts"

/** The filters `GET /containers/json` knows. */
export const CONTAINER_FILTERS = [
  "ancestor", "before", "expose", "exited", "health", "id", "isolation", "is-task", "label",
  "name", "network", "publish", "since", "status", "volume",
]

const STATUSES: readonly string[] = [
  "created", "running", "paused", "restarting", "removing", "exited", "dead",
] satisfies Status[]
const HEALTH = ["none", "starting", "healthy", "unhealthy"]

/** What only the whole list can tell: other containers, and images by their names. */
export interface Lookups {
  /** The image a name leads to; null: none. */
  readonly imageOf: (name: string) => string | null
  readonly container: (name: string) => ContainerView | null
}

type Test = (view: ContainerView) => boolean
type Maker = (values: readonly string[], lookups: Lookups) => Test

/** A name is a regular expression that may match anywhere, as it always was; else it fits none. */
function byName(values: readonly string[]): Test {
  const patterns = values.flatMap((value) => {
    try {
      return [new RegExp(value)]
    } catch {
      return []
    }
  })
  return ({ name }) => patterns.some((pattern) => pattern.test(name) || pattern.test(`/${name}`))
}

function byStatus(values: readonly string[]): Test {
  for (const value of values) {
    if (!STATUSES.includes(value)) throw invalid(`invalid filter 'status=${value}'`)
  }
  return ({ status }) => values.includes(status)
}

function byExit(values: readonly string[]): Test {
  const codes = values.map((value) => {
    if (!/^-?\d+$/.test(value)) {
      throw invalid(`strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`)
    }
    return Number(value)
  })
  return ({ status, state }) =>
    status !== "running" && state.startedMs !== 0 && codes.includes(state.exitCode)
}

function byHealth(values: readonly string[]): Test {
  for (const value of values) {
    if (!HEALTH.includes(value)) throw invalid(`Unrecognised filter value for health: ${value}`)
  }
  return () => values.includes("none")
}

/** Reads `80`, `80/tcp`, `8000-8010/udp`. */
function portRange(text: string, filter: string) {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/.exec(text)
  if (match === null) {
    const why = `invalid port specification: "${text}"`
    throw invalid(`error while looking up for ${filter} ${text}: ${why}`)
  }
  const [, first, last = first, protocol = "tcp"] = match
  return (port: number | null, which: string) =>
    port !== null && which === protocol && port >= Number(first) && port <= Number(last)
}

const byPublished: Maker = (values) => {
  const ranges = values.map((value) => portRange(value, "publish"))
  return (view) =>
    openPorts(view)
      .some(({ hostPort, protocol }) => ranges.some((fits) => fits(hostPort, protocol)))
}

const byExposed: Maker = (values) => {
  const ranges = values.map((value) => portRange(value, "expose"))
  return ({ given }) =>
    Object.keys((given as Given).Config.ExposedPorts ?? {})
      .map((key) => key.split("/") as [string, string?])
      .some(([port, protocol = "tcp"]) => ranges.some((fits) => fits(Number(port), protocol)))
}

/** Made before or after another container; the list is newest first. */
const byAge = (older: boolean): Maker => ([name = ""], { container }) => {
  const mark = container(name)
  if (mark === null) throw invalid(`no such container ${name}`)
  return ({ id, createdMs }) =>
    id !== mark.id && (older ? createdMs <= mark.createdMs : createdMs >= mark.createdMs)
}

const byNetwork: Maker = (values) => ({ terms }) => {
  const name = networkOf(terms)
  return name !== null && values.some((value) =>
    value === name || (value !== "" && NETWORKS[name].id.startsWith(value)))
}

const byVolume: Maker = (values) => ({ given }) => {
  const { Config: config, HostConfig: host } = given as Given
  return mountsOf(config, host).points
    .some(({ Source, Destination }) => values.includes(Source) || values.includes(Destination))
}

const MAKERS: Readonly<Record<string, Maker>> = {
  ancestor: (values, { imageOf }) => {
    const images = new Set(values.map(imageOf))
    return ({ image, imageName }) => images.has(image) || values.includes(imageName)
  },
  before: byAge(true),
  since: byAge(false),
  expose: byExposed,
  publish: byPublished,
  exited: byExit,
  health: byHealth,
  id: (values) => ({ id }) => values.some((value) => id.startsWith(value)),
  name: byName,
  label: (values) => ({ terms }) => labelsMatch(terms.labels, values),
  network: byNetwork,
  status: byStatus,
  volume: byVolume,
  isolation: (values) => () => values.includes("default"),
}

/** One test out of all filters that are given. Throws `ApiFault` for values that mean nothing. */
export function containerFilter(filters: Filters, lookups: Lookups): Test {
  if (filterBool(filters, "is-task") === true) return () => false
  const tests = [...filters].filter(([name, values]) => name in MAKERS && values.length > 0)
    .map(([name, values]) => MAKERS[name]!(values, lookups))
  return (view) => tests.every((test) => test(view))
}

/** A list that asks for a state means all containers, running or not. */
export const meansAll = (filters: Filters): boolean => filters.has("status")
