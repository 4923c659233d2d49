import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { basename, join } from "node:path"
import { describe, expect, test } from "vitest"
import { mountsBelow } from "../../simulations/powercut/rig.ts"
import { pidsOf, readCgroups } from "../../src/kernel/cgroups.ts"
import { whyNoEngine } from "./engine.ts"

const MAIN = join(import.meta.dirname, "../../simulations/demo/main.ts")

/** Plays the demonstration as `npm start` does; sends `signal` once it has said `cue`. */
const play = (cue: string | null = null, signal: NodeJS.Signals = "SIGINT") =>
  new Promise<{ code: number | null; said: string }>((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, "--size", "64"], {
      stdio: ["ignore", "pipe", "pipe"],
    })
    let said = ""
    let cued = cue === null
    const hear = (text: string) => {
      said += text
      if (cued || !said.includes(cue ?? "")) return
      cued = true
      child.kill(signal)
    }
    child.stdout.setEncoding("utf8").on("data", hear)
    child.stderr.setEncoding("utf8").on("data", hear)
    child.on("error", reject)
    child.on("close", (code) => resolve({ code, said }))
  })

/** What is left of the directory, the mounts and the processes that a run spoke of. */
const leftOf = (said: string): readonly unknown[] => {
  const root = /--data-root (\/\S+?)\/disk/.exec(said)?.[1] ?? ""
  expect(root).not.toBe("")
  const pids = pidsOf(readCgroups(), `/${basename(root)}`)
  return [...(existsSync(root) ? [root] : []), ...mountsBelow(root), ...pids]
}

describe.skipIf(whyNoEngine() !== null)("the demonstration", () => {
  test("plays to its end, says what was resumed, and leaves nothing behind", async () => {
    const { code, said } = await play()
    expect(said).toContain("What happened")
    expect(code).toBe(0)
    const fates = said.match(/layer \w{12}: (went on from byte|was whole|had no checkpoint)/g)
    expect(fates).toHaveLength(2)
    expect(said).toMatch(/fetched again +\d+\.\d MB/)
    expect(said).toMatch(/\$ \S+ logs app\n +I am v2\n/)
    expect(said).toMatch(/Pulling a delta of .* against \w{12}\n/)
    expect(said).toMatch(/as a delta +v2 was \d+\.\d kB .*: [\d,]+ times less than its layers/)
    expect(said).not.toContain("\x1b")
    expect(leftOf(said)).toEqual([])
  })

  test("leaves nothing behind either when it is stopped", async () => {
    const { code, said } = await play("v2 is pulled over a bad link")
    expect(code).toBe(130)
    expect(said).not.toContain("failed:")
    expect(leftOf(said)).toEqual([])
  })
})
