import * as Result from "effect/Result"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import {
  addressOf,
  allocate,
  bridgePool,
  type Cidr,
  freeBridge,
  holds,
  numberOf,
  overlaps,
  parseCidr,
  subnetOf,
} from "../../src/net/pools.ts"

const cidr = (text: string): Cidr => parseCidr(text) ?? expect.unreachable(text)
const pool = (bip: string, fixedCidr = "", defaultGateway = "") =>
  bridgePool({ bip: cidr(bip), fixedCidr, defaultGateway })
const orCause = <A>(result: Result.Result<A, { readonly cause: unknown }>) =>
  Result.match(result, { onSuccess: (value) => value, onFailure: ({ cause }) => cause })

const addresses = fc.nat({ max: 2 ** 32 - 1 }).map(addressOf)
const cidrs = fc.record({ address: addresses, prefix: fc.integer({ min: 0, max: 32 }) })

test("addresses and numbers, both ways", () => {
  fc.assert(fc.property(addresses, (address) => addressOf(numberOf(address)!) === address))
  for (const bad of ["", "1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4.5", "a.b.c.d", "1.2.3.-4"]) {
    expect(numberOf(bad)).toBeNull()
  }
  for (const bad of ["1.2.3.4", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/8/8", "x/8", "1.2.3.4/"]) {
    expect(parseCidr(bad)).toBeNull()
  }
})

test("a subnet holds its own address, and overlaps itself; overlapping is mutual", () => {
  fc.assert(fc.property(cidrs, cidrs, (a, b) => {
    expect(holds(subnetOf(a), a.address)).toBe(true)
    expect(overlaps(a, a)).toBe(true)
    expect(overlaps(a, b)).toBe(overlaps(b, a))
    expect(overlaps(a, b)).toBe(holds(a, subnetOf(b).address) || holds(b, subnetOf(a).address))
  }))
})

test("the default bridge takes the first usual network that is free", () => {
  expect(orCause(freeBridge([]))).toEqual(cidr("172.17.0.1/16"))
  expect(orCause(freeBridge([cidr("172.17.0.1/16"), cidr("172.16.0.0/15")])))
    .toEqual(cidr("172.18.0.1/16"))
  expect(orCause(freeBridge([cidr("172.16.0.0/12")]))).toEqual(cidr("192.168.0.1/20"))
  expect(orCause(freeBridge([cidr("0.0.0.0/0")]))).toMatch(/^could not find an available/)
})

describe("pools", () => {
  test("all of the subnet, or a part of it", () => {
    expect(orCause(pool("10.1.2.3/24"))).toEqual({
      subnet: cidr("10.1.2.0/24"),
      range: cidr("10.1.2.0/24"),
      bridge: "10.1.2.3",
      gateway: "10.1.2.3",
    })
    expect(orCause(pool("10.1.0.1/16", "10.1.7.0/24", "10.1.0.254")))
      .toMatchObject({ range: cidr("10.1.7.0/24"), gateway: "10.1.0.254" })
  })

  test("what cannot be one", () => {
    expect(orCause(pool("10.1.2.0/24"))).toMatch(/invalid bridge address/)
    expect(orCause(pool("10.1.2.1/31"))).toMatch(/invalid bridge address/)
    expect(orCause(pool("10.1.2.1/24", "10.1.3.0/24"))).toMatch(/not within/)
    expect(orCause(pool("10.1.2.1/24", "10.1.0.0/16"))).toMatch(/not within/)
    expect(orCause(pool("10.1.2.1/24", "nonsense"))).toMatch(/invalid CIDR/)
    expect(orCause(pool("10.1.2.1/24", "", "10.1.3.1"))).toMatch(/default gateway/)
  })

  test("the lowest free address, and only what a container can have", () => {
    const small = Result.getOrThrow(pool("10.0.0.1/29", "", "10.0.0.3"))
    const taken = new Set<string>()
    for (const expected of ["10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"]) {
      expect(orCause(allocate(small, taken))).toBe(expected)
      taken.add(expected)
    }
    expect(orCause(allocate(small, taken))).toMatch(/^no available IPv4 addresses/)
    taken.delete("10.0.0.4")
    expect(orCause(allocate(small, taken))).toBe("10.0.0.4")
  })

  test("whatever the network, an address given is in it, free, and usable", () => {
    const networks = fc.tuple(addresses, fc.integer({ min: 20, max: 30 }))
    const some = fc.array(fc.nat({ max: 40 }), { maxLength: 40 })
    fc.assert(fc.property(networks, some, ([address, prefix], used) => {
      const made = bridgePool({ bip: { address, prefix }, fixedCidr: "", defaultGateway: "" })
      if (Result.isFailure(made)) return
      const first = numberOf(made.success.subnet.address)!
      const taken = new Set(used.map((offset) => addressOf(first + offset)))
      const given = allocate(made.success, taken)
      if (Result.isFailure(given)) return
      const last = first + 2 ** (32 - prefix) - 1
      expect(holds(made.success.subnet, given.success)).toBe(true)
      expect(taken.has(given.success)).toBe(false)
      expect([address, addressOf(first), addressOf(last)]).not.toContain(given.success)
    }))
  })
})
