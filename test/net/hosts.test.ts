import { expect, test } from "vitest"
import {
  hostnameText,
  hostNetworkHostsText,
  hostsText,
  isStub,
  parseExtraHost,
  type ResolvInput,
  resolvText,
} from "../../src/net/hosts.ts"
import { linkName, macOf } from "../../src/net/mac.ts"

const hosts = {
  hostname: "box",
  domainname: "",
  address: "172.17.0.2",
  extraHosts: ["db:10.0.0.9", "six:fe80::1", "host.docker.internal:host-gateway"],
  hostGateway: "172.17.0.1",
}

test("/etc/hosts on a bridge", () => {
  expect(hostsText(hosts)).toBe(`127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
10.0.0.9\tdb
fe80::1\tsix
172.17.0.1\thost.docker.internal
172.17.0.2\tbox
`)
  expect(hostsText({ ...hosts, domainname: "example.com" })).toContain(
    "172.17.0.2\tbox.example.com box\n")
  expect(hostsText({ ...hosts, address: null })).not.toContain("box")
  expect(hostnameText("box")).toBe("box\n")
})

test("/etc/hosts on the host's network is the host's", () => {
  expect(hostNetworkHostsText("127.0.0.1 localhost", { ...hosts, extraHosts: ["db:10.0.0.9"] }))
    .toBe("127.0.0.1 localhost\n10.0.0.9\tdb\n")
})

test("extra hosts are a name and an address", () => {
  expect(parseExtraHost("a:::1")).toEqual({ name: "a", address: "::1" })
  expect(parseExtraHost("a=[::1]")).toEqual({ name: "a", address: "::1" })
  for (const bad of ["a", "a:", ":1.2.3.4", "a:b", "a b:1.2.3.4", "a:1.2.3.4\n5.6.7.8 evil"]) {
    expect(parseExtraHost(bad)).toBeNull()
  }
})

const resolv = (resolvOfHost: string, rest: Partial<ResolvInput> = {}) =>
  resolvText({
    resolvOfHost,
    isHostNetwork: false,
    dns: [],
    dnsSearch: [],
    dnsOptions: [],
    ...rest,
  })

const HOST = `# made by hand
domain old.example
search lan example.com
nameserver 127.0.0.53
nameserver 192.168.1.1
nameserver fe80::1
options ndots:2 edns0
`

test("/etc/resolv.conf: nameservers a container cannot reach are left out", () => {
  expect(resolv(HOST)).toBe(
    "search lan example.com\nnameserver 192.168.1.1\noptions ndots:2 edns0\n")
  expect(resolv("nameserver 127.0.0.1\n")).toBe("nameserver 8.8.8.8\nnameserver 8.8.4.4\n")
  expect(resolv("")).toBe("nameserver 8.8.8.8\nnameserver 8.8.4.4\n")
  expect(resolv("domain lan\nnameserver 10.0.0.1")).toBe("search lan\nnameserver 10.0.0.1\n")
})

test("/etc/resolv.conf: what is asked for takes the place of the host's", () => {
  expect(resolv(HOST, { dns: ["1.1.1.1", "::1"] })).toBe(
    "search lan example.com\nnameserver 1.1.1.1\nnameserver ::1\noptions ndots:2 edns0\n")
  expect(resolv(HOST, { dnsSearch: ["."], dnsOptions: ["rotate"] })).toBe(
    "nameserver 192.168.1.1\noptions rotate\n")
})

test("/etc/resolv.conf on the host's network is the host's", () => {
  expect(resolv(HOST, { isHostNetwork: true })).toBe(HOST)
  expect(resolv(HOST, { isHostNetwork: true, dnsSearch: ["x"] })).toContain("nameserver 127.0.0.53")
})

test("systemd-resolved's stub is told apart", () => {
  expect(isStub("nameserver 127.0.0.53\noptions edns0\n")).toBe(true)
  expect(isStub(HOST)).toBe(false)
})

test("an interface's name and hardware address", () => {
  expect(macOf("172.17.0.2")).toBe("02:42:ac:11:00:02")
  expect(linkName("0123456789abcdef")).toBe("veth0123456789a")
})
