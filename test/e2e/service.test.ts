import { closeSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { askJson } from "../../simulations/bench/engines/docker.ts"
import { lock, openAt, openRoot } from "../../src/kernel/files.ts"
import { bind, check } from "../../src/kernel/libc.ts"
import { type Corner, openCorner, placeOf, whyNoEngine } from "./engine.ts"

const AF_UNIX = 1
const SOCK_DGRAM = 2
const MSG_DONTWAIT = 0x40
const libc = {
  socket: bind("int socket(int domain, int type, int protocol)"),
  bind: bind("int bind(int fd, const void *address, uint32_t length)"),
  recv: bind("int64_t recv(int fd, _Out_ void *data, size_t length, int flags)"),
}

/** A socket as a service manager has it (sd_notify(3)); `next` waits for the next datagram. */
const serviceManager = (path: string) => {
  const address = Buffer.alloc(2 + Buffer.byteLength(path) + 1)
  address.writeUInt16LE(AF_UNIX)
  address.write(path, 2)
  const fd = check(libc.socket(AF_UNIX, SOCK_DGRAM, 0), "socket", path)
  check(libc.bind(fd, address, address.length), "bind", path)
  const data = Buffer.alloc(4096)
  const next = async (): Promise<string> => {
    for (;;) {
      const length = Number(libc.recv(fd, data, data.length, MSG_DONTWAIT))
      if (length >= 0) return data.toString("utf8", 0, length)
      await sleep(5)
    }
  }
  return { next, [Symbol.dispose]: () => closeSync(fd) }
}

describe.skipIf(whyNoEngine() !== null)("a daemon as a service", () => {
  let corner: Corner
  beforeAll(async () => {
    corner = await openCorner()
  })
  afterAll(async () => corner[Symbol.asyncDispose]())

  test("leaves its pid for others, and takes it back", async () => {
    const engine = await corner.start({ name: "pid" })
    expect(readFileSync(engine.place.pidfile, "utf8")).toBe(String(engine.pid))
    const second = await corner.start({
      name: "second", args: ["--pidfile", engine.place.pidfile],
    })
    expect(await second.ended).toBe(1)
    expect(second.log()).toContain("pid file found, ensure balenaEngine is not running or delete")
    expect(await engine.stop()).toBe(0)
    expect(existsSync(engine.place.pidfile)).toBe(false)
  })

  test("does not mind a pid file that a power cut left", async () => {
    const engine = await corner.start({ name: "left" })
    await engine.kill()
    writeFileSync(engine.place.pidfile, String(process.pid)) // it lives, and is no daemon
    const again = await corner.start({ name: "left" })
    expect(readFileSync(again.place.pidfile, "utf8")).toBe(String(again.pid))
    expect(await again.stop()).toBe(0)
  })

  test("ends as it is, where it cannot end in order", async () => {
    const place = placeOf(corner.rig, "stuck")
    mkdirSync(place.dataRoot, { recursive: true })
    // As an extraction child of an earlier daemon would hold it: the start waits for its end.
    const held = openAt(openRoot(place.dataRoot), "child.lock", true)
    lock(held, "shared", true)
    const starting = corner.start({ name: "stuck" })
    const pid = () => existsSync(place.pidfile) ? Number(readFileSync(place.pidfile, "utf8")) : 0
    while (pid() === 0) await sleep(5)
    process.kill(pid(), "SIGTERM")
    const engine = await starting
    expect(await engine.ended).toBe(1)
    expect(engine.log()).toContain("no end in order 10 s after SIGTERM: the engine ends as it is\n")
    closeSync(held)
    const again = await corner.start({ name: "stuck" })
    expect(await again.stop()).toBe(0)
  })

  test("says when it is ready, that it is alive, and that it ends", async () => {
    const path = join(corner.root, "notify.sock")
    using manager = serviceManager(path)
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "200000" }
    const engine = await corner.start({ name: "notify", env })
    expect(await manager.next()).toBe("READY=1")
    expect(await manager.next()).toBe("WATCHDOG=1")
    expect(await manager.next()).toBe("WATCHDOG=1")
    expect(await engine.stop()).toBe(0)
    let last = ""
    while (last !== "STOPPING=1") last = await manager.next()
  })

  test("reads its settings again on SIGHUP, and keeps them where they are wrong", async () => {
    const configPath = join(corner.root, "daemon.json")
    writeFileSync(configPath, JSON.stringify({ labels: ["site=a"] }))
    const engine = await corner.start({ name: "hup", args: ["--config-file", configPath] })
    const shown = async () => {
      const path = "/info"
      const info = await askJson<{ Labels: string[]; Debug: boolean }>(
        engine.place.socket, "GET", path,
      )
      return { labels: info.Labels, debug: info.Debug }
    }
    const hangUp = async (text: string, said: string) => {
      writeFileSync(configPath, text)
      process.kill(engine.pid, "SIGHUP")
      while (!engine.log().includes(said)) await sleep(10)
    }
    expect(await shown()).toEqual({ labels: ["site=a"], debug: false })
    await hangUp('{"labels": ["site=b"], "debug": true}', "the settings have been read again")
    expect(await shown()).toEqual({ labels: ["site=b"], debug: true })
    await hangUp('{"debug": "maybe"}', "the settings stay as they are")
    expect(await shown()).toEqual({ labels: ["site=b"], debug: true })
    expect(await engine.stop()).toBe(0)
  })
})
