import { expect, test } from "vitest"
import { publishing, removal, ruleset, withdrawing } from "../../src/net/rules.ts"

const bridge = {
  name: "br0",
  cidr: { address: "172.17.0.1", prefix: 16 },
  icc: true,
  masquerade: true,
}
const published = (hostIp: string, hostPort = 8080) => ({
  address: "172.17.0.2",
  port: { port: 80, protocol: "tcp" as const, hostIp, hostPort },
})

test("a port is one element; a limited one has its address in the key", () => {
  const elements = "add element ip t anywhere { tcp . 8080 : 172.17.0.2 . 80 }\n"
    + "add element ip t somewhere { 127.0.0.1 . tcp . 8080 : 172.17.0.2 . 80 }\n"
  expect(publishing("t", [published(""), published("127.0.0.1")])).toBe(elements)
  expect(withdrawing("t", [published("0.0.0.0")])).toBe(
    "add element ip t anywhere { tcp . 8080 : 172.17.0.2 . 80 }\n"
      + "delete element ip t anywhere { tcp . 8080 : 172.17.0.2 . 80 }\n",
  )
  expect(ruleset("t", [bridge], [published("")])).toContain(
    "elements = { tcp . 8080 : 172.17.0.2 . 80 }")
})

test("masquerading and talk among containers are choices", () => {
  const out = 'oifname != "br0" ip saddr 172.17.0.0/16 masquerade'
  const among = 'iifname "br0" oifname "br0" accept'
  expect(ruleset("t", [bridge], [])).toContain(out)
  expect(ruleset("t", [bridge], [])).toContain(among)
  const strict = ruleset("t", [{ ...bridge, icc: false, masquerade: false }], [])
  expect(strict).not.toContain(out)
  expect(strict).not.toContain(among)
})

test("nothing becomes a rule that is no name, address or port", () => {
  expect(() => ruleset("t { }", [], [])).toThrow(/not a name/)
  expect(() => ruleset("t", [{ ...bridge, name: 'br" accept' }], [])).toThrow(/not a name/)
  expect(() => removal("")).toThrow(/not a name/)
  expect(() => publishing("t", [published("1.2.3.4 }")])).toThrow(/not a published port/)
  expect(() => publishing("t", [published("", 0)])).toThrow(/not a published port/)
})
