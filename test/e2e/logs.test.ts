import { existsSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { BUSYBOX_ARCHIVE, type Corner, type Engine, openCorner, whyNoEngine } from "./engine.ts"

const LINES = 20_000
const COUNTS = `i=0; while [ $i -lt ${LINES} ]; do echo "line $i"; i=$((i+1)); done; sleep 1000`

/** Null: for a moment, between one log and the next, there is none. */
const sizeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? null

describe.skipIf(whyNoEngine() !== null)("logs of running containers", () => {
  let corner: Corner
  let engine: Engine
  const run = async (...words: string[]): Promise<{ id: string; home: string }> => {
    const id = (await engine.done(["run", "-d", "--network", "none", ...words])).trim()
    return { id, home: join(engine.place.dataRoot, "containers", id) }
  }

  beforeAll(async () => {
    corner = await openCorner()
    engine = await corner.start({ name: "logs" })
    await engine.done(["load", "--input", BUSYBOX_ARCHIVE])
  })
  afterAll(async () => {
    const ids = (await engine.done(["ps", "-aq"])).split("\n").filter(Boolean)
    if (ids.length > 0) await engine.done(["rm", "-f", ...ids])
    await engine.stop()
    await corner[Symbol.asyncDispose]()
  })

  test("are rotated as they were asked to be, also by an engine that comes after", async () => {
    const limits = ["--log-opt", "max-size=100k", "--log-opt", "max-file=2"]
    const { id, home } = await run(...limits, "busybox:1.29", "sh", "-c", COUNTS)
    while (!(await engine.done(["logs", id])).includes(`line ${LINES - 1}\n`)) await sleep(50)
    await engine.kill()
    engine = await corner.start({ name: "logs" })
    const isSmall = () => (sizeOf(join(home, "log")) ?? Infinity) <= 100 * 1024
    while (!existsSync(join(home, "log.1")) || !isSmall()) await sleep(50)
    expect(existsSync(join(home, "log.2"))).toBe(false)
    expect(await engine.done(["logs", "--tail", "2", id]))
      .toBe(`line ${LINES - 2}\nline ${LINES - 1}\n`)
  })

  test("a size that is none is refused at once", async () => {
    const { code, stderr } = await engine.docker([
      "create", "--log-opt", "max-size=big", "busybox:1.29",
    ])
    expect(code).toBe(1)
    expect(stderr).toContain("invalid size: 'big'")
  })

  test("go to journald as well, under the container's name, and can still be read", async () => {
    const { id } = await run("--log-driver", "journald", "--name", "known", "busybox:1.29",
      "sh", "-c", "echo hello; sleep 1000")
    while ((await engine.done(["logs", id])) !== "hello\n") await sleep(20)
    const pid = (await engine.done(["inspect", "-f", "{{.State.Pid}}", id])).trim()
    const parent = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]
    const words = readFileSync(`/proc/${parent}/cmdline`, "utf8").split("\0")
    expect(words[words.indexOf("--name") + 1]).toBe("known")
    expect(words[words.lastIndexOf("--log-path") + 1]).toBe("journald")
  })
})
