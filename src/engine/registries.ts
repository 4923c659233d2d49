import * as Context from "effect/Context"

/** A registry, and whether it may be spoken to in the clear. */
export interface Place {
  readonly host: string
  readonly insecure: boolean
}

/** Where each registry answers, which may be spoken to in the clear, which stand in for the hub. */
export class Registries extends Context.Service<Registries, {
  readonly accessTo: (domain: string) => Place
  /** Where a name of this domain is to be asked for, in turn. */
  readonly placesOf: (domain: string) => readonly Place[]
}>()("engine/Registries") {}

/** What is set, and may change while the engine runs. */
export interface RegistrySettings {
  readonly insecureRegistries: readonly string[]
  /** `https://host[:port]`, as dockerd has them: only for the hub. */
  readonly registryMirrors: readonly string[]
}

const HUB = "docker.io"
/** The hub answers at another host than the one it is called by. */
const HUB_HOST = "registry-1.docker.io"

/** The registries as they are set at this moment. */
export const registriesOf = (now: () => RegistrySettings): Registries["Service"] => {
  const accessTo = (domain: string) =>
    placeOf(domain === HUB ? HUB_HOST : domain, now().insecureRegistries)
  return {
    accessTo,
    placesOf: (domain) => [
      ...domain === HUB ? now().registryMirrors.map(mirrorAt) : [],
      accessTo(domain),
    ],
  }
}

const mirrorAt = (text: string): Place => {
  const { protocol, host } = new URL(text)
  return { host, insecure: protocol === "http:" }
}

/**
 * Insecure are those that were named so (as host, host:port or an IPv4 network), and, as under
 * dockerd, everything on the loopback network.
 */
const placeOf = (host: string, insecure: readonly string[]): Place => {
  const networks = ["127.0.0.0/8", ...insecure].map(networkOf).filter((one) => one !== null)
  const name = host.replace(/:\d+$/, "")
  const address = ipv4(name)
  const isInside = address !== null &&
    networks.some(({ base, mask }) => ((address & mask) >>> 0) === base)
  const isNamed = insecure.includes(host) || insecure.includes(name) || name === "localhost"
  return { host, insecure: isNamed || isInside }
}

const ipv4 = (text: string): number | null => {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (match === null) return null
  const parts = match.slice(1).map(Number)
  if (parts.some((part) => part > 255)) return null
  return ((parts[0]! << 24) | (parts[1]! << 16) | (parts[2]! << 8) | parts[3]!) >>> 0
}

const networkOf = (text: string): { base: number; mask: number } | null => {
  const [name, bits] = text.split("/")
  const address = ipv4(name ?? "")
  if (address === null || bits === undefined) return null
  const mask = Number(bits) === 0 ? 0 : (0xffffffff << (32 - Number(bits))) >>> 0
  return { base: (address & mask) >>> 0, mask }
}
