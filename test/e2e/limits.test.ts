import { readFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { readCgroups } from "../../src/kernel/cgroups.ts"
import { BUSYBOX_ARCHIVE, type Corner, type Engine, openCorner, whyNoEngine } from "./engine.ts"

const BUSYBOX = "busybox:1.29"
const MIB = 2 ** 20
/** Takes 40 MiB at once. */
const GREEDY = "dd if=/dev/zero of=/dev/null bs=40M count=1"

describe.skipIf(whyNoEngine() !== null)("limits, on a running engine", () => {
  let corner: Corner
  let engine: Engine
  const run = (name: string, options: string, script: string) =>
    engine.docker([
      "run", "--name", name, "--network", "none", ...options.split(" "),
      BUSYBOX, "sh", "-c", script,
    ])
  /** What the kernel has in a file of the container's control group, in either version's words. */
  const groupFile = async (name: string, controller: string, v1: string, v2: string) => {
    const id = (await engine.done(["inspect", "-f", "{{.Id}}", name])).trim()
    const { layout, hierarchies } = readCgroups()
    const { mountPoint } = hierarchies.find(({ controllers }) =>
      layout === "v2" ? controllers.length === 0 : controllers.includes(controller))!
    const group = join(mountPoint, engine.place.cgroupParent, id)
    return readFileSync(join(group, layout === "v2" ? v2 : v1), "utf8").trim()
  }
  const memory = (name: string) =>
    groupFile(name, "memory", "memory.limit_in_bytes", "memory.max").then(Number)
  const pids = (name: string) => groupFile(name, "pids", "pids.max", "pids.max").then(Number)

  beforeAll(async () => {
    corner = await openCorner()
    engine = await corner.start({ name: "limits" })
    await engine.done(["load", "-i", BUSYBOX_ARCHIVE])
  })
  afterAll(async () => {
    await engine?.stop()
    await corner?.[Symbol.asyncDispose]()
  })

  test("hold from the start, change while it runs, and hold again after a restart", async () => {
    await run("group", "-d --memory 32m --memory-swap 256m --pids-limit 20", "sleep 1000")
    expect([await memory("group"), await pids("group")]).toEqual([32 * MIB, 20])
    await engine.done(["update", "--memory", "64m", "--pids-limit", "30", "group"])
    expect([await memory("group"), await pids("group")]).toEqual([64 * MIB, 30])
    await engine.done(["restart", "-t", "0", "group"])
    expect([await memory("group"), await pids("group")]).toEqual([64 * MIB, 30])
    await engine.done(["rm", "-f", "group"])
  })

  test("too much memory is 137, and said; the next run starts anew", async () => {
    const greedy = `exec ${GREEDY}`
    expect((await run("greedy", "--memory 12m", greedy)).code).toBe(137)
    const state = async () =>
      (await engine.done(["inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", "greedy"]))
        .trim()
    expect(await state()).toBe("true 137")
    await engine.done(["update", "--memory", "512m", "--memory-swap", "512m", "greedy"])
    expect((await engine.docker(["start", "-a", "greedy"])).code).toBe(0)
    expect(await state()).toBe("false 0")
    await engine.done(["rm", "greedy"])
  })

  test("a killed child is no end of the container, though it was out of memory", async () => {
    const script = `${GREEDY}; echo $?; sleep 1000`
    await run("parent", "-d --memory 12m", script)
    while ((await engine.done(["logs", "parent"])).trim() === "") await sleep(50)
    const format = "{{.State.Status}} {{.State.ExitCode}}"
    expect((await engine.done(["inspect", "-f", format, "parent"])).trim()).toBe("running 0")
    await engine.done(["rm", "-f", "parent"])
  })

  test("too many processes are refused to the container, not to the machine", async () => {
    const script = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done; echo all"
    const { stdout, stderr } = await run("forks", "--rm --pids-limit 5", script)
    expect(stdout).not.toContain("all")
    expect(stderr).toContain("can't fork")
  })

  test("a share of a processor is not more than that", async () => {
    await run("busy", "-d --cpus 0.2", "while :; do :; done")
    const throttled = async () => {
      const stat = await groupFile("busy", "cpu", "cpu.stat", "cpu.stat")
      return Number(/^nr_throttled (\d+)$/m.exec(stat)?.[1])
    }
    while (await throttled() < 3) await sleep(50)
    await engine.done(["rm", "-f", "busy"])
  })
})
