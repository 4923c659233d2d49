import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, writeFileSync } from "node:fs"
import { networkInterfaces } from "node:os"
import * as Effect from "effect/Effect"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { bind, check, Errno } from "../../src/kernel/libc.ts"
import {
  addresses,
  addressOn,
  type Bridge,
  connect,
  type Endpoint,
  ensureBridge,
  links,
  linksOn,
  removeBridge,
  removeLink,
} from "../../src/kernel/links.ts"
import { applyRules } from "../../src/kernel/nft.ts"
import { isPortFree, localPortRange } from "../../src/kernel/ports.ts"
import { macOf } from "../../src/net/mac.ts"
import { parsePortRange } from "../../src/net/ports.ts"
import { publishing, removal, ruleset, withdrawing } from "../../src/net/rules.ts"
import type { Port } from "../../src/oci/terms.ts"

/*
 * Everything happens in a network namespace of this process's own, with real bridges, links and
 * rules: the machine sees nothing of it, and all of it goes with the process.
 *
 *   inside (10.213.1.2), second (10.213.1.3) -- br -- host -- outside (192.0.2.2)
 */

const CLONE_NEWNET = 0x40000000
const unshare = bind("int unshare(int flags)")

/** A program in a network namespace of its own: answers on port 80 with who asked, and asks. */
const PEER = `
  const net = require("node:net")
  net.createServer((socket) => socket.end(socket.remoteAddress))
    .listen(80, "0.0.0.0", () => process.send("up"))
  process.on("disconnect", () => process.exit())
  process.on("message", ({ id, host, port }) => {
    let text = ""
    const done = (answer) => { socket.destroy(); process.send({ id, answer }) }
    const socket = net.connect({ host, port, family: 4, timeout: 700 })
    socket.on("data", (data) => { text += data })
    socket.on("end", () => done(text)).on("timeout", () => done("silence"))
    socket.on("error", (error) => done(error.code))
  })
`

interface Peer {
  readonly pid: number
  /** Connects from there: answers what it read, an error's code, or `silence`. */
  readonly ask: (host: string, port: number) => Promise<string>
}

const children: ChildProcess[] = []

async function peer(program: readonly string[]): Promise<Peer> {
  const child = spawn(program[0]!, [...program.slice(1), process.execPath, "-e", PEER], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  })
  children.push(child)
  await once(child, "message")
  let last = 0
  return {
    pid: child.pid!,
    ask: (host, port) =>
      new Promise((resolve) => {
        const id = ++last
        const listen = (message: { id: number; answer: string }) => {
          if (message.id !== id) return
          child.off("message", listen)
          resolve(message.answer)
        }
        child.on("message", listen)
        child.send({ id, host, port })
      }),
  }
}

const ip = (...args: readonly string[]) =>
  execFileSync("ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
const rules = (text: string) => Effect.runPromise(applyRules(text))

/** Does the filter look at bridged packets too? A switch of this namespace, if it is there. */
const BRIDGED = "/proc/sys/net/bridge/bridge-nf-call-iptables"

const TABLE = "betest"
const bridge: Bridge = {
  name: "br-test",
  address: "10.213.1.1",
  prefix: 24,
  mac: macOf("10.213.1.1"),
  mtu: 1400,
  forward: true,
}
const bridgeRules = {
  name: bridge.name,
  cidr: { address: bridge.address, prefix: bridge.prefix },
  icc: true,
  masquerade: true,
}
const endpoint = (last: number, modes: Partial<Endpoint> = {}): Endpoint => ({
  bridge: bridge.name,
  link: `vtest${last}`,
  address: `10.213.1.${last}`,
  prefix: 24,
  gateway: bridge.address,
  mac: macOf(`10.213.1.${last}`),
  ...modes,
})
const published = (hostPort: number, hostIp = "") => ({
  address: "10.213.1.2",
  port: { port: 80, protocol: "tcp", hostIp, hostPort } satisfies Port,
})

describe.skipIf(process.getuid?.() !== 0)("links, on a kernel", () => {
  let inside: Peer
  let second: Peer
  let outside: Peer
  let here: Peer

  beforeAll(async () => {
    check(unshare(CLONE_NEWNET), "unshare", "CLONE_NEWNET")
    ip("link", "set", "lo", "up")
    const own = ["unshare", "--net", "--"]
    const peers = [peer(own), peer(own), peer(own), peer(["env"])] as const
    ;[inside, second, outside, here] = await Promise.all(peers)
    ip("link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", String(outside.pid))
    ip("address", "add", "192.0.2.1/24", "dev", "up0")
    ip("link", "set", "up0", "up")
    for (const line of ["addr add 192.0.2.2/24 dev eth0", "link set eth0 up",
      "route add 10.213.1.0/24 via 192.0.2.1"]) {
      execFileSync("nsenter", ["-t", String(outside.pid), "-n", "ip", ...line.split(" ")])
    }
    ensureBridge(bridge)
    connect(endpoint(2, { hairpin: true }), inside.pid)
    connect(endpoint(3), second.pid)
    await rules(ruleset(TABLE, [bridgeRules], []))
  })

  afterAll(async () => {
    for (const child of children) if (child.connected) child.disconnect()
    const alive = children.filter(({ exitCode, signalCode }) => (exitCode ?? signalCode) === null)
    await Promise.all(alive.map((child) => once(child, "exit")))
    removeBridge(bridge.name)
    await rules(removal(TABLE))
  })

  test("containers reach each other and the gateway, under their own addresses", async () => {
    expect(await inside.ask("10.213.1.3", 80)).toBe("10.213.1.2")
    expect(await second.ask("10.213.1.2", 80)).toBe("10.213.1.3")
    expect(await inside.ask(bridge.address, 80)).toBe("10.213.1.2")
    expect(await here.ask("10.213.1.2", 80)).toBe(bridge.address)
    expect(await inside.ask("127.0.0.1", 80)).toBe("127.0.0.1")
  })

  test("the inner end is as asked: name, address, hardware address, MTU; no IPv6 noise", () => {
    const show = (...what: readonly string[]) =>
      execFileSync("nsenter", ["-t", String(inside.pid), "-n", "ip", ...what], { encoding: "utf8" })
    const shown = show("address", "show", "dev", "eth0")
    expect(shown).toContain("inet 10.213.1.2/24 brd 10.213.1.255 scope global eth0")
    expect(shown).toContain("link/ether 02:42:0a:d5:01:02")
    expect(shown).toContain("mtu 1400")
    expect(shown).not.toContain("inet6")
    expect(show("route")).toContain("default via 10.213.1.1 dev eth0")
  })

  test("outside sees the host's address", async () => {
    expect(await inside.ask("192.0.2.2", 80)).toBe("192.0.2.1")
  })

  test("what is not published cannot be reached from outside", async () => {
    expect(await outside.ask("10.213.1.2", 80)).toBe("silence")
    expect(await outside.ask("192.0.2.1", 8080)).toBe("ECONNREFUSED")
  })

  describe("a published port", () => {
    beforeAll(() => rules(publishing(TABLE, [published(8080), published(8081, "127.0.0.1")])))
    afterAll(() => rules(withdrawing(TABLE, [published(8080), published(8081, "127.0.0.1")])))

    test("leads in from outside, with the client's address", async () => {
      expect(await outside.ask("192.0.2.1", 8080)).toBe("192.0.2.2")
    })

    test("leads in from the host, by any of its addresses", async () => {
      expect(await here.ask("127.0.0.1", 8080)).toBe(bridge.address)
      expect(await here.ask("192.0.2.1", 8080)).toBe("192.0.2.1")
      expect(await here.ask(bridge.address, 8080)).toBe(bridge.address)
    })

    test.each(["1", "0"])("leads back in from the containers, br_netfilter %s", async (calls) => {
      if (existsSync(BRIDGED)) writeFileSync(BRIDGED, calls)
      expect(await inside.ask("192.0.2.1", 8080)).toBe(bridge.address)
      expect(await second.ask("192.0.2.1", 8080)).toBe(bridge.address)
      expect(await second.ask(bridge.address, 8080)).toBe(bridge.address)
    })

    test("on one address of the host is on no other", async () => {
      expect(await here.ask("127.0.0.1", 8081)).toBe(bridge.address)
      expect(await outside.ask("192.0.2.1", 8081)).toBe("ECONNREFUSED")
      expect(await here.ask("192.0.2.1", 8081)).toBe("ECONNREFUSED")
    })

    test("leads nowhere else: not to the container's other ports, nor past the host", async () => {
      expect(await here.ask("127.0.0.1", 8082)).toBe("ECONNREFUSED")
      expect(await outside.ask("10.213.1.2", 80)).toBe("silence")
    })

    test("is opened and closed as often as one likes, but belongs to one container", async () => {
      await rules(publishing(TABLE, [published(8080)]))
      await rules(withdrawing(TABLE, [published(8090)]))
      const other = { ...published(8080), address: "10.213.1.3" }
      await expect(rules(publishing(TABLE, [other]))).rejects.toThrow()
      expect(await outside.ask("192.0.2.1", 8080)).toBe("192.0.2.2")
    })
  })

  test("closed, it leads in no more", async () => {
    await rules(publishing(TABLE, [published(8083)]))
    expect(await outside.ask("192.0.2.1", 8083)).toBe("192.0.2.2")
    await rules(withdrawing(TABLE, [published(8083)]))
    expect(await outside.ask("192.0.2.1", 8083)).toBe("ECONNREFUSED")
  })

  test("a whole ruleset in place of another brings its ports along", async () => {
    await rules(ruleset(TABLE, [bridgeRules], [published(8084)]))
    expect(await outside.ask("192.0.2.1", 8084)).toBe("192.0.2.2")
    await rules(ruleset(TABLE, [bridgeRules], []))
    expect(await outside.ask("192.0.2.1", 8084)).toBe("ECONNREFUSED")
  })

  test("rules that nft refuses say why", async () => {
    const nonsense = applyRules("add rule ip nowhere nothing drop\n")
    const fault = await Effect.runPromise(Effect.flip(nonsense))
    expect(fault.cause).toMatch(/^packet filter: .*nowhere|No such file/s)
  })

  test("isolated containers reach the host, not each other", async () => {
    const own = ["unshare", "--net", "--"]
    const [a, b] = await Promise.all([peer(own), peer(own)])
    connect(endpoint(11, { isolated: true }), a.pid)
    connect(endpoint(12, { isolated: true }), b.pid)
    expect(await a.ask("10.213.1.12", 80)).toMatch(/silence|EHOSTUNREACH/)
    expect(await a.ask(bridge.address, 80)).toBe("10.213.1.11")
    expect(await a.ask("192.0.2.2", 80)).toBe("192.0.2.1")
  })

  test("a try that was cut short is replaced", async () => {
    const again = await peer(["unshare", "--net", "--"])
    connect(endpoint(20), again.pid)
    connect(endpoint(20), again.pid)
    expect(await again.ask(bridge.address, 80)).toBe("10.213.1.20")
    removeLink("vtest20")
    removeLink("vtest20")
    expect(links("vtest20")).toEqual([])
  })

  test("a link dies with its namespace", async () => {
    const brief = await peer(["unshare", "--net", "--"])
    connect(endpoint(30), brief.pid)
    expect(linksOn(bridge.name).map(({ name }) => name)).toContain("vtest30")
    const child = children.find(({ pid }) => pid === brief.pid)!
    child.disconnect()
    await once(child, "exit")
    while (links("vtest30").length > 0) await new Promise((resolve) => setImmediate(resolve))
  })

  test("this thread comes back from every namespace", () => {
    const before = networkInterfaces()
    connect(endpoint(40), fresh())
    expect(networkInterfaces()["br-test"]).toEqual(before["br-test"])
  })

  test("a bridge is put right: address, MTU; nothing is made twice", () => {
    const other = { ...bridge, name: "br-other", address: "10.213.2.1", mac: macOf("10.213.2.1") }
    ensureBridge(other)
    ensureBridge({ ...other, address: "10.213.3.1", mtu: 1300 })
    ensureBridge({ ...other, address: "10.213.3.1", mtu: 1300 })
    expect(addressOn("br-other")).toMatchObject({ address: "10.213.3.1", prefix: 24 })
    expect(addresses().filter(({ address }) => address.startsWith("10.213.2."))).toEqual([])
    expect(links("br-other")).toMatchObject([{ kind: "bridge", isUp: true, mtu: 1300 }])
    removeBridge("br-other")
    removeBridge("br-other")
    expect(links("br-other")).toEqual([])
    expect(addressOn("br-other")).toBeNull()
  })

  test("faults name the call and what it was about", () => {
    expect(() => ensureBridge({ ...bridge, name: "up0" })).toThrow(/up0: EEXIST/)
    expect(() => connect({ ...endpoint(50), bridge: "none" }, inside.pid)).toThrow(/none: ENODEV/)
    expect(() => connect({ ...endpoint(50), link: "far-too-long-a-name" }, inside.pid))
      .toThrow(Errno)
    expect(() => connect(endpoint(50), 2 ** 22)).toThrow(/ENOENT/)
    expect(links("vtest50")).toEqual([])
  })

  test("a port somebody listens on is not free", () => {
    expect(isPortFree("tcp", "", 80)).toBe(false)
    expect(isPortFree("tcp", bridge.address, 80)).toBe(false)
    expect(isPortFree("tcp", "", 8099)).toBe(true)
    expect(isPortFree("udp", "", 80)).toBe(true)
    expect(isPortFree("tcp", "203.0.113.9", 8099)).toBe(false)
    expect(parsePortRange(localPortRange()).last).toBeGreaterThan(1024)
  })
})

/** A namespace that nobody uses. */
function fresh(): number {
  const program = [process.execPath, "-e", "process.on('disconnect', () => process.exit())"]
  const child = spawn("unshare", ["--net", "--", ...program], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  })
  children.push(child)
  return child.pid!
}
