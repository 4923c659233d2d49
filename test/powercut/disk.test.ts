import { spawn } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { describe, expect, it } from "vitest"
import { run } from "../../simulations/images/command.ts"
import { makeDisk, type Cut, type Disk } from "../../simulations/powercut/disk.ts"
import { powerOn } from "../../simulations/powercut/power.ts"
import { cleanRigs, mountsBelow, openRig } from "../../simulations/powercut/rig.ts"
import { content } from "../../simulations/powercut/writer.ts"

const WRITER = join(import.meta.dirname, "../../simulations/powercut/writer.ts")

interface Found {
  readonly label: string
  readonly acknowledged: number
  readonly whole: number
}

/** Runs the writer on a disk, cuts the power a few times, and counts what each copy still has. */
const cutsOf = async (disk: Disk, mode: string): Promise<readonly Found[]> => {
  const directory = join(disk.mountPoint, mode)
  mkdirSync(directory)
  const child = spawn(process.execPath, [WRITER, directory, mode], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  let acknowledged = 0
  child.stdout.on("data", (data: Buffer) => {
    acknowledged = Number(data.toString().trim().split("\n").at(-1)) + 1
  })
  const taken: { cut: Cut; acknowledged: number }[] = []
  while (taken.length < 3) {
    const before = acknowledged
    while (acknowledged < before + 40) await sleep(1)
    const known = acknowledged // before the copy is asked for: all of these must be in it
    taken.push({ cut: await disk.cut(`${mode} ${taken.length}`), acknowledged: known })
  }
  child.kill("SIGKILL")
  const found: Found[] = []
  for (const { cut, acknowledged: known } of taken) {
    const volume = await cut.mount()
    const whole = Array.from({ length: known }, (_, n) => isWhole(join(volume.mountPoint, mode), n))
    await volume[Symbol.asyncDispose]()
    await cut.fsck()
    cut.drop()
    found.push({ label: cut.label, acknowledged: known, whole: whole.filter(Boolean).length })
  }
  return found
}

const isWhole = (directory: string, n: number): boolean => {
  const path = join(directory, `file-${n}`)
  return existsSync(path) && readFileSync(path).equals(content(n))
}

describe.skipIf(process.getuid?.() !== 0)("the power-cut disk", () => {
  it("keeps what was flushed and loses what was not", async () => {
    await using rig = await openRig()
    await using disk = await makeDisk(rig.root, { sizeMiB: 512, spaceMiB: 2048 })
    const careful = await cutsOf(disk, "fsync")
    for (const { acknowledged, whole } of careful) expect(whole).toBe(acknowledged)
    const careless = await cutsOf(disk, "careless")
    for (const { acknowledged, whole } of careless) expect(whole).toBeLessThan(acknowledged)
  })

  it("ends every process of a machine at once, and gives each boot its own id", async () => {
    await using rig = await openRig()
    const argv = ["sh", "-c", "cat /proc/sys/kernel/random/boot_id; setsid sleep 1000 & wait"]
    const first = await powerOn(rig, "first", { argv })
    while (first.log() === "") await sleep(5)
    await first.cut()
    const bootId = "/proc/sys/kernel/random/boot_id"
    const second = await powerOn(rig, "second", { argv: ["cat", bootId] })
    expect(await second.ended).toBe(0)
    const host = readFileSync(bootId, "utf8")
    expect(new Set([first.log(), second.log(), host]).size).toBe(3)
    expect(existsSync(join(rig.cgroup, "first"))).toBe(false)
  })

  it("is cleared away by its name after its owner was killed", async () => {
    const owner = mkdtempSync(join(tmpdir(), "be-owner-"))
    const program = join(owner, "owner.mjs")
    const from = (name: string) =>
      JSON.stringify(join(import.meta.dirname, "../../simulations/powercut", name))
    writeFileSync(program, `
      import { openRig } from ${from("rig.ts")}
      import { makeDisk } from ${from("disk.ts")}
      import { powerOn } from ${from("power.ts")}
      const rig = await openRig()
      const disk = await makeDisk(rig.root, { sizeMiB: 64, spaceMiB: 512 })
      await (await disk.cut("one")).mount()
      await powerOn(rig, "sleeper", { argv: ["sleep", "1000"] })
      console.log(rig.root)
      setInterval(() => {}, 1000)
    `)
    const child = spawn(process.execPath, [program], { stdio: ["ignore", "pipe", "inherit"] })
    const root = await new Promise<string>((resolve, reject) => {
      child.stdout.once("data", (data: Buffer) => resolve(data.toString().trim()))
      child.once("exit", () => reject(new Error("the owner ended by itself")))
    })
    child.kill("SIGKILL")
    await new Promise((resolve) => child.once("exit", resolve))
    expect(mountsBelow(root)).toHaveLength(3)
    await cleanRigs()
    expect(mountsBelow(root)).toEqual([])
    expect(existsSync(root)).toBe(false)
    expect(await run("losetup", ["--list"])).not.toContain(root)
    rmSync(owner, { recursive: true })
  })
})
