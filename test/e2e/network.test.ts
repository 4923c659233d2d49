import { execFileSync } from "node:child_process"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { ask, textOf } from "../../simulations/bench/engines/docker.ts"
import { bind, check } from "../../src/kernel/libc.ts"
import { BUSYBOX_ARCHIVE, type Corner, type Engine, openCorner, whyNoEngine } from "./engine.ts"
import { OWN_NETWORK, type Peer, startPeer, THIS_NETWORK } from "./peer.ts"

/*
 * Everything happens in a network namespace of this process's own, so that the machine sees nothing
 * of it; the engine in it believes that it is alone on a device:
 *
 *   containers (172.30.7.0/24) -- balena0 -- this namespace (192.0.2.1) -- outside (192.0.2.2)
 */

const CLONE_NEWNET = 0x40000000
const unshare = bind("int unshare(int flags)")
const ip = (...words: readonly string[]) => execFileSync("ip", words, { stdio: "pipe" })

const BUSYBOX = "busybox:1.29"
const HERE = "192.0.2.1"
const OUTSIDE = "192.0.2.2"
/** Answers TCP with who asked, and UDP with what was sent. */
const SERVER = [
  "sh",
  "-c",
  "udpsvd 0.0.0.0 53 cat & exec tcpsvd 0.0.0.0 80 sh -c 'echo ${TCPREMOTEADDR%:*}'",
]

describe.skipIf(whyNoEngine() !== null)("the default bridge, on a running engine", () => {
  let corner: Corner
  let engine: Engine
  let outside: Peer
  let here: Peer
  const bridge = ["--bip", "172.30.7.1/24"]
  const run = (...words: string[]) => engine.done(["run", ...words])
  const addressOf = (name: string) =>
    engine.done(["inspect", "-f", "{{.NetworkSettings.IPAddress}}", name])
      .then((text) => text.trim())
  /** What a busybox container reads from an address. */
  const askFrom = async (network: string, host: string, port: number) => {
    const words = ["run", "--rm", "--network", network, BUSYBOX]
    return (await engine.docker([...words, "nc", "-w", "2", host, String(port)])).stdout.trim()
  }

  beforeAll(async () => {
    check(unshare(CLONE_NEWNET), "unshare", "CLONE_NEWNET")
    ip("link", "set", "lo", "up")
    ;[outside, here] = await Promise.all([startPeer(OWN_NETWORK), startPeer(THIS_NETWORK)])
    ip("link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", String(outside.pid))
    ip("address", "add", `${HERE}/24`, "dev", "up0")
    ip("link", "set", "up0", "up")
    for (const line of [`addr add ${OUTSIDE}/24 dev eth0`, "link set eth0 up"]) {
      execFileSync("nsenter", ["-t", String(outside.pid), "-n", "ip", ...line.split(" ")])
    }
    corner = await openCorner()
    engine = await corner.start({ name: "net", bridge })
    await engine.done(["load", "-i", BUSYBOX_ARCHIVE])
    const ports = ["8080:80", "8053:53/udp", "127.0.0.1:8081:80"].flatMap((port) => ["-p", port])
    await run("-d", "--name", "web", ...ports, BUSYBOX, ...SERVER)
  })
  afterAll(async () => {
    await engine?.stop()
    await corner?.[Symbol.asyncDispose]()
    await outside?.[Symbol.asyncDispose]()
    await here?.[Symbol.asyncDispose]()
  })

  test("outside sees this machine's address, and knows no other", async () => {
    expect(await askFrom("bridge", OUTSIDE, 80)).toBe(HERE)
  })

  test("containers reach one another by address, and share a network by name", async () => {
    const web = await addressOf("web")
    expect(await askFrom("bridge", web, 80)).toMatch(/^172\.30\.7\./)
    expect(await askFrom("container:web", "127.0.0.1", 80)).toBe("127.0.0.1")
    expect(await askFrom("none", web, 80)).toBe("")
  })

  /** Published ports, seen from everywhere. */
  const published = async () => ({
    outside: (await outside.ask(HERE, 8080)).trim(),
    outsideUdp: await outside.ask(HERE, 8053, "udp"),
    outsideLocal: await outside.ask(HERE, 8081),
    host: (await here.ask(HERE, 8080)) !== "",
    hostUdp: await here.ask(HERE, 8053, "udp"),
    loopback: (await here.ask("127.0.0.1", 8080)) !== "",
    loopbackUdp: await here.ask("127.0.0.1", 8053, "udp"),
    loopbackLocal: (await here.ask("127.0.0.1", 8081)) !== "",
    other: await askFrom("bridge", HERE, 8080) !== "",
  })
  const OPEN = {
    outside: OUTSIDE, // the client's own address, as no proxy stands between
    outsideUdp: "x",
    outsideLocal: "ECONNREFUSED",
    host: true,
    hostUdp: "x",
    loopback: true,
    loopbackUdp: "x",
    loopbackLocal: true,
    other: true,
  }

  test("published ports lead in from outside, from the host and from 127.0.0.1", async () => {
    expect(await published()).toEqual(OPEN)
  })

  test("they lead in while the daemon is dead, and when it is back", async () => {
    await engine.kill()
    expect((await outside.ask(HERE, 8080)).trim()).toBe(OUTSIDE)
    expect(await outside.ask(HERE, 8053, "udp")).toBe("x")
    engine = await corner.start({ name: "net", bridge })
    expect(await published()).toEqual(OPEN)
    expect(await engine.done(["port", "web", "80/tcp"])).toBe("0.0.0.0:8080\n127.0.0.1:8081\n")
    const taken = await engine.docker(["run", "--rm", "-p", "8080:80", BUSYBOX, "true"])
    expect([taken.code, taken.stderr]).toEqual([125, expect.stringContaining("already allocated")])
  })

  test("an address is nobody else's until its container has ended", async () => {
    const web = await addressOf("web")
    await run("-d", "--name", "other", BUSYBOX, "sleep", "1000")
    expect(await addressOf("other")).not.toBe(web)
    await engine.done(["rm", "-f", "other"])
  })

  test("a port is closed with its container, and opened by its next start", async () => {
    const closed = async () => {
      while (await outside.ask(HERE, 8080) !== "ECONNREFUSED") await sleep(20)
    }
    await engine.done(["stop", "-t", "0", "web"])
    await closed()
    await engine.done(["start", "web"])
    expect((await outside.ask(HERE, 8080)).trim()).toBe(OUTSIDE)
    await engine.done(["rm", "-f", "web"])
    await closed()
  })

  test("a port goes from one container to the next without a pause", async () => {
    const post = async (path: string, body?: unknown) => {
      const answer = await ask(engine.place.socket, "POST", `/containers/${path}`, body)
      return [answer.status, await textOf(answer)]
    }
    const HostConfig = { PortBindings: { "80/tcp": [{ HostPort: "8090" }] } }
    for (const name of ["one", "two"]) {
      await post(`create?name=${name}`, { Image: BUSYBOX, Cmd: ["sleep", "1000"], HostConfig })
    }
    await post("one/start")
    for (const [from, to] of [["one", "two"], ["two", "one"], ["one", "two"], ["two", "one"]]) {
      expect((await post(`${from}/stop?t=0`))[0]).toBe(204)
      expect(await post(`${to}/start`)).toEqual([204, ""])
    }
    await engine.done(["rm", "-f", "one", "two"])
  })
})
