import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Port } from "../oci/terms.ts"

/** A port that cannot be published. Worded as Docker words it. */
export class PortFault extends Schema.TaggedError<PortFault>()("PortFault", {
  cause: Schema.String,
}) {}

/** A port of the host that is in use. `hostIp` empty: on every address. */
export type Claim = Pick<Port, "protocol" | "hostIp" | "hostPort">

export interface PortPlanInput {
  readonly ports: readonly Port[]
  /** What other containers have. */
  readonly taken: readonly Claim[]
  /** Where any free port is looked for: the kernel's ip_local_port_range, as in Docker. */
  readonly range: PortRange
  /** Could a program listen there? Asked of the host, which knows of other programs' ports. */
  readonly isFree: (claim: Claim) => boolean
}

export interface PortRange {
  readonly first: number
  readonly last: number
}

/** What Docker falls back to. */
export const DEFAULT_RANGE: PortRange = { first: 49153, last: 65535 }

/** Reads /proc/sys/net/ipv4/ip_local_port_range. */
export function parsePortRange(text: string): PortRange {
  const [, first = "", last = ""] = /^\s*(\d+)\s+(\d+)\s*$/.exec(text) ?? []
  const range = { first: Number(first), last: Number(last) }
  return first !== "" && range.first > 0 && range.last >= range.first ? range : DEFAULT_RANGE
}

const ANY = "0.0.0.0"

const isAny = (hostIp: string): boolean => hostIp === "" || hostIp === ANY

/** Do two claims want the same port of the same address? */
export const conflicts = (a: Claim, b: Claim): boolean =>
  a.protocol === b.protocol && a.hostPort === b.hostPort
  && (isAny(a.hostIp) || isAny(b.hostIp) || a.hostIp === b.hostIp)

const fail = (cause: string) => Result.fail(new PortFault({ cause }))

/**
 * The host port of every published port: the one asked for, or the lowest free one of the range
 * asked for, which for 0 is the kernel's own. All or nothing; the order stays. The same port asked
 * for twice in the same words is one.
 */
export function planPorts(input: PortPlanInput): Result.Result<readonly Port[], PortFault> {
  return Result.gen(function*() {
    const planned: Port[] = []
    for (const port of input.ports) {
      if (planned.some((other) => isSame(other, port))) continue
      const taken = [...input.taken, ...planned]
      const { hostPortLast: last = port.hostPort, ...asked } = port
      if (last > asked.hostPort) {
        planned.push(yield* anyPort(asked, taken, { first: asked.hostPort, last }, input))
      } else if (asked.hostPort === 0) {
        planned.push(yield* anyPort(asked, taken, input.range, input))
      } else planned.push(yield* thisPort(asked, taken, input))
    }
    return planned
  })
}

const isSame = (a: Port, b: Port): boolean =>
  a.port === b.port && a.protocol === b.protocol && a.hostIp === b.hostIp
  && a.hostPort === b.hostPort

function thisPort(
  port: Port,
  taken: readonly Claim[],
  { isFree }: PortPlanInput,
): Result.Result<Port, PortFault> {
  const { protocol, hostPort } = port
  const address = port.hostIp === "" ? ANY : port.hostIp
  if (address.includes(":")) {
    return fail(`cannot publish on ${address}: containers have no IPv6 addresses`)
  }
  if (taken.some((other) => conflicts(other, port))) {
    return fail(`Bind for ${address}:${hostPort} failed: port is already allocated`)
  }
  return isFree(port)
    ? Result.succeed(port)
    : fail(`listen ${protocol}4 ${address}:${hostPort}: bind: address already in use`)
}

function anyPort(
  port: Port,
  taken: readonly Claim[],
  range: PortRange,
  { isFree }: PortPlanInput,
): Result.Result<Port, PortFault> {
  for (let hostPort = range.first; hostPort <= range.last; hostPort++) {
    const claim = { ...port, hostPort }
    if (!taken.some((other) => conflicts(other, claim)) && isFree(claim)) {
      return Result.succeed(claim)
    }
  }
  return fail("all ports are allocated")
}
