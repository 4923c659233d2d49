import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Raw } from "../api/tools.ts"
import { BUSYBOX_ARCHIVE, type Corner, type Engine, openCorner, whyNoEngine } from "./engine.ts"

const BUSYBOX = "busybox:1.29"

/** The daemon comes and goes, killed or in order; its containers do not care. */
describe.skipIf(whyNoEngine() !== null)("containers outlive their daemon", () => {
  let corner: Corner
  let engine: Engine
  let shared: string
  const start = async () => {
    engine = await corner.start({ name: "adoption" })
  }
  const run = (name: string, options: string, script: string) =>
    engine.done([
      "run", "-d", "--name", name, "--network", "none", "-v", `${shared}:/s`,
      ...options.split(" ").filter(Boolean), BUSYBOX, "sh", "-c", script,
    ])
  const inspect = async (name: string, format: string) =>
    (await engine.done(["inspect", "-f", format, name])).trim()
  const stateOf = (name: string) => inspect(name, "{{.State.Status}} {{.State.ExitCode}}")
  const until = async (what: () => boolean | Promise<boolean>) => {
    while (!(await what())) await sleep(20)
  }
  const isIn = (name: string) => existsSync(join(shared, name))
  const put = (name: string) => writeFileSync(join(shared, name), "")
  const wait = async (pid: string) => until(() => !existsSync(`/proc/${pid}`))

  beforeAll(async () => {
    corner = await openCorner()
    shared = join(corner.root, "shared")
    mkdirSync(shared)
    await start()
    await engine.done(["load", "-i", BUSYBOX_ARCHIVE])
  })
  afterAll(async () => {
    await engine?.stop()
    await corner?.[Symbol.asyncDispose]()
  })

  test.each(["kill", "stop"] as const)(
    "a daemon's %s: it goes on, its log is whole",
    async (how) => {
      const name = `counts-${how}`
      await run(
        name,
        "",
        `i=0; while ! test -e /s/${name}-go; do echo $i; echo x >> /s/${name}; ` +
          "i=$((i+1)); sleep 0.02; done; echo end; exit 7",
      )
      await until(() => isIn(name))
      const pid = await inspect(name, "{{.State.Pid}}")
      await engine[how]()
      const lines = () => readFileSync(join(shared, name), "utf8").split("\n").length
      const before = lines()
      await until(() => lines() > before + 20) // nobody watches, and it goes on
      await start()
      expect(await inspect(name, "{{.State.Status}} {{.State.Pid}}")).toBe(`running ${pid}`)
      const waiting = engine.done(["wait", name])
      const following = engine.done(["logs", "-f", name])
      put(`${name}-go`)
      expect(await waiting).toBe("7\n")
      const said = (await following).trim().split("\n")
      expect(said.pop()).toBe("end")
      expect(said).toEqual(said.map((_, at) => String(at)))
      expect(await engine.done(["logs", name])).toBe([...said, "end", ""].join("\n"))
    },
  )

  test("what ended while it was away: the code, the last words, the removal", async () => {
    const script = (name: string, code: number) =>
      `touch /s/${name}; until test -e /s/away; do sleep 0.02; done; echo last words; exit ${code}`
    const names = ["plain", "removed", "again", "failing"]
    await run("plain", "", script("plain", 7))
    await run("removed", "--rm", script("removed", 0))
    await run(
      "again",
      "--restart always",
      `test -e /s/away && touch /s/came; ${script("again", 3)}`,
    )
    await run("failing", "--restart on-failure:1", script("failing", 9))
    await until(() => names.every(isIn))
    const pids = await Promise.all(names.map((name) => inspect(name, "{{.State.Pid}}")))
    await engine.kill()
    put("away")
    await Promise.all(pids.map(wait))
    await start()
    expect(await stateOf("plain")).toBe("exited 7")
    expect(await engine.done(["wait", "plain"])).toBe("7\n")
    expect(await engine.done(["logs", "plain"])).toBe("last words\n")
    await until(async () => !(await engine.done(["ps", "-aq", "--filter", "name=removed"])))
    await until(() => isIn("came"))
    await until(async () => (await stateOf("failing")) === "exited 9")
    expect(await inspect("failing", "{{.RestartCount}}")).toBe("1")
    await engine.done(["rm", "-f", "plain", "again", "failing"])
  })

  test("its streams can be taken up again, and its terminal", async () => {
    await run("reader", "-i", "while read x; do echo got $x; done; exit 5")
    await run("typed", "-i -t", "stty -echo; echo ready; read x; stty size; echo $x; read y")
    await until(async () => (await engine.done(["logs", "typed"])).includes("ready"))
    await engine.kill()
    await start()
    const attach = async (name: string) => {
      const raw = new Raw(engine.place.socket)
      raw.socket.write(`POST /containers/${name}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\n` +
        "Host: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
      await raw.sees("\r\n\r\n")
      return raw
    }
    const reader = await attach("reader")
    reader.socket.write("one\n")
    await reader.sees("got one")
    await engine.done(["kill", "-s", "KILL", "reader"])
    expect(await engine.done(["wait", "reader"])).toBe("137\n")
    const typed = await attach("typed")
    const sized = new Raw(engine.place.socket)
    sized.socket.write("POST /containers/typed/resize?h=33&w=77 HTTP/1.0\r\n\r\n")
    await sized.end()
    typed.socket.write("word\n")
    await typed.sees("33 77")
    await typed.sees("word")
    typed.socket.destroy()
    await engine.done(["rm", "-f", "reader", "typed"])
  })

  test("it can be stopped, paused and limited by a daemon that has not started it", async () => {
    await run(
      "mine",
      "--memory 32m --memory-swap 64m",
      "trap 'exit 4' TERM; while :; do sleep 0.02; done",
    )
    await engine.kill()
    await start()
    await engine.done(["pause", "mine"])
    expect(await stateOf("mine")).toBe("paused 0")
    await engine.kill()
    await start()
    expect(await stateOf("mine")).toBe("paused 0")
    await engine.done(["unpause", "mine"])
    await engine.done(["update", "--memory", "48m", "mine"])
    expect(await engine.done(["top", "mine", "-o", "pid,comm"])).toContain("sh")
    await engine.done(["stop", "mine"])
    expect(await stateOf("mine")).toBe("exited 4")
    await engine.done(["rm", "mine"])
  })

  test("a daemon's start: what its policies say of what a client had stopped", async () => {
    const names = ["always", "unless-stopped", "no"]
    for (const policy of names) await run(policy, `--restart ${policy}`, "sleep 1000")
    for (const policy of names) await engine.done(["stop", "-t", "0", policy])
    await engine.stop()
    await start()
    await until(async () => (await stateOf("always")).startsWith("running"))
    expect(await stateOf("unless-stopped")).toBe("exited 137")
    expect(await stateOf("no")).toBe("exited 137")
    await engine.done(["rm", "-f", ...names])
  })
})
