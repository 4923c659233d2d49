import * as Context from "effect/Context"

/** Which registries may be spoken to in the clear. */
export class Registries extends Context.Service<Registries, {
  readonly accessTo: (host: string) => { readonly host: string; readonly insecure: boolean }
}>()("engine/Registries") {}

/**
 * Insecure are those that were named so (as host, host:port or an IPv4 network), and, as under
 * dockerd, everything on the loopback network.
 */
export const registriesOf = (insecure: readonly string[]): Registries["Service"] => {
  const named = new Set(insecure)
  const networks = ["127.0.0.0/8", ...insecure].map(networkOf).filter((one) => one !== null)
  return {
    accessTo: (host) => {
      const name = host.replace(/:\d+$/, "")
      const address = ipv4(name)
      const inside = address !== null &&
        networks.some(({ base, mask }) => ((address & mask) >>> 0) === base)
      return {
        host,
        insecure: named.has(host) || named.has(name) || name === "localhost" || inside,
      }
    },
  }
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
