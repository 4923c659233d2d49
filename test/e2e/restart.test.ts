import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { ask, textOf } from "../../simulations/bench/engines/docker.ts"
import { BUSYBOX_ARCHIVE, type Corner, type Engine, openCorner, whyNoEngine } from "./engine.ts"

const BUSYBOX = "busybox:1.29"

describe.skipIf(whyNoEngine() !== null)("restart policies, on a running engine", () => {
  let corner: Corner
  let engine: Engine
  const run = (name: string, policy: string, script: string, ...more: string[]) =>
    engine.done([
      "run", "-d", "--name", name, "--network", "none", "--restart", policy, ...more,
      BUSYBOX, "sh", "-c", script,
    ])
  const state = async (name: string) => {
    const format = "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}"
    return (await engine.done(["inspect", "-f", format, name])).trim()
  }
  const until = async (what: () => Promise<boolean>) => {
    while (!(await what())) await sleep(20)
  }
  const restarts = async (name: string) => Number((await state(name)).split(" ")[2])

  beforeAll(async () => {
    corner = await openCorner()
    engine = await corner.start({ name: "restart" })
    await engine.done(["load", "-i", BUSYBOX_ARCHIVE])
  })
  afterAll(async () => {
    await engine?.stop()
    await corner?.[Symbol.asyncDispose]()
  })

  test("the pause before a restart doubles from 100 ms on", async () => {
    await run("crashes", "always", "exit 3")
    await until(async () => await restarts("crashes") >= 4)
    const id = (await engine.done(["inspect", "-f", "{{.Id}}", "crashes"])).trim()
    const path = `/debug/machines/container/${id}/history?format=text`
    const history = await textOf(await ask(engine.place.socket, "GET", path))
    const pauses = [...history.matchAll(/backoff\S* (\d+) ms/g)].map(([, ms]) => Number(ms))
    expect(pauses.slice(0, 4)).toEqual([100, 200, 400, 800])
    await engine.done(["rm", "-f", "crashes"])
  })

  test("on-failure: so many times, and not after success", async () => {
    await run("fails", "on-failure:2", "exit 3")
    await run("succeeds", "on-failure:2", "exit 0")
    await until(async () => (await state("fails")).startsWith("exited"))
    expect(await state("fails")).toBe("exited 3 2")
    await until(async () => (await state("succeeds")).startsWith("exited"))
    expect(await state("succeeds")).toBe("exited 0 0")
    await engine.done(["rm", "fails", "succeeds"])
  })

  test("whoever waits for its end is answered at its last one", async () => {
    await run("waited", "on-failure:1", "sleep 0.3; exit 6")
    expect(await engine.done(["wait", "waited"])).toBe("6\n")
    await until(async () => (await state("waited")) === "exited 6 1")
    await engine.done(["rm", "waited"])
  })

  test("a stop silences it, while it runs and between two runs", async () => {
    await run("steady", "always", "sleep 1000")
    await engine.done(["stop", "-t", "0", "steady"])
    await run("broken", "unless-stopped", "exit 1")
    await until(async () => await restarts("broken") >= 2)
    await engine.done(["stop", "broken"])
    const [steady, broken] = [await state("steady"), await state("broken")]
    expect(steady).toBe("exited 137 0")
    expect(broken).toMatch(/^exited 1 /)
    await sleep(2_000) // longer than the next pause would be
    expect([await state("steady"), await state("broken")]).toEqual([steady, broken])
    await engine.done(["start", "steady"])
    expect(await state("steady")).toBe("running 0 0")
    await engine.done(["rm", "-f", "steady", "broken"])
  })

  test("what dies by itself comes back, whoever sent the signal", async () => {
    await run("killed", "always", "sleep 1000")
    const pid = Number((await engine.done(["inspect", "-f", "{{.State.Pid}}", "killed"])).trim())
    process.kill(pid, "SIGKILL") // the kernel's OOM killer, say
    await until(async () => (await state("killed")) === "running 0 1")
    await engine.done(["kill", "killed"]) // a client means it
    await until(async () => (await state("killed")) === "exited 137 1")
    await engine.done(["rm", "killed"])
  })

  test("a policy can be given later, and taken back", async () => {
    await run("later", "no", "read x", "-i")
    await engine.done(["update", "--restart", "always", "later"])
    const pid = async () => Number(await engine.done(["inspect", "-f", "{{.State.Pid}}", "later"]))
    process.kill(await pid(), "SIGKILL")
    await until(async () => (await state("later")) === "running 0 1")
    await engine.done(["update", "--restart", "no", "later"])
    process.kill(await pid(), "SIGKILL")
    await until(async () => (await state("later")) === "exited 137 1")
    await engine.done(["rm", "later"])
  })
})
