import * as Result from "effect/Result"
import fc from "fast-check"
import { expect, test } from "vitest"
import {
  type Claim,
  conflicts,
  DEFAULT_RANGE,
  parsePortRange,
  planPorts,
  type PortPlanInput,
} from "../../src/net/ports.ts"
import type { Port } from "../../src/oci/terms.ts"

const port = (hostPort: number, hostIp = "", protocol: "tcp" | "udp" = "tcp"): Port =>
  ({ port: 80, protocol, hostIp, hostPort })
const range = { first: 100, last: 103 }
const plan = (ports: readonly Port[], rest: Partial<PortPlanInput> = {}) =>
  Result.match(planPorts({ ports, taken: [], range, isFree: () => true, ...rest }), {
    onSuccess: (ports) => ports.map(({ hostPort }) => hostPort),
    onFailure: ({ cause }) => cause,
  })

test("the port asked for, or the lowest free one", () => {
  expect(plan([port(8080), port(0), port(0, "", "udp"), port(0, "127.0.0.1")]))
    .toEqual([8080, 100, 100, 101])
  expect(plan([port(0)], { taken: [port(100, "10.0.0.1")] })).toEqual([101])
  expect(plan([port(0)], { isFree: ({ hostPort }) => hostPort > 101 })).toEqual([102])
  expect(plan([])).toEqual([])
})

test("a port twice in the same words is one; any port twice is one port, too", () => {
  expect(plan([port(8080), port(8080)])).toEqual([8080])
  expect(plan([port(8080), { ...port(8080), port: 81 }]))
    .toBe("Bind for 0.0.0.0:8080 failed: port is already allocated")
})

test("faults, in Docker's words", () => {
  const taken = [port(8080)]
  expect(plan([port(8080)], { taken })).toBe(
    "Bind for 0.0.0.0:8080 failed: port is already allocated")
  expect(plan([port(8080, "127.0.0.1")], { taken })).toBe(
    "Bind for 127.0.0.1:8080 failed: port is already allocated")
  expect(plan([port(8080, "", "udp")], { taken })).toEqual([8080])
  expect(plan([port(22)], { isFree: () => false })).toBe(
    "listen tcp4 0.0.0.0:22: bind: address already in use")
  expect(plan([port(0)], { isFree: () => false })).toBe("all ports are allocated")
  expect(plan([port(80, "::1")])).toMatch(/no IPv6/)
})

test("no plan has a conflict in it, or with what was taken", () => {
  const claims = fc.record({
    port: fc.integer({ min: 1, max: 3 }),
    protocol: fc.constantFrom("tcp" as const, "udp" as const),
    hostIp: fc.constantFrom("", "0.0.0.0", "127.0.0.1", "10.0.0.1"),
    hostPort: fc.constantFrom(0, 100, 101, 102, 200),
  })
  fc.assert(fc.property(fc.array(claims), fc.array(claims), (ports, taken) => {
    const held: Claim[] = taken.filter(({ hostPort }) => hostPort !== 0)
    const planned = planPorts({ ports, taken: held, range, isFree: () => true })
    if (Result.isFailure(planned)) return
    for (const [i, claim] of planned.success.entries()) {
      expect(claim.hostPort).toBeGreaterThan(0)
      const others = [...held, ...planned.success.slice(i + 1)]
      expect(others.some((other) => conflicts(claim, other))).toBe(false)
    }
  }))
})

test("the kernel's range, or Docker's", () => {
  expect(parsePortRange("32768\t60999\n")).toEqual({ first: 32768, last: 60999 })
  for (const bad of ["", "x", "5 4", "0 9"]) expect(parsePortRange(bad)).toEqual(DEFAULT_RANGE)
})
