import { execFileSync } from "node:child_process"
import {
  mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { mountOverlay, readInRoot, unmount } from "../../src/kernel/mounts.ts"

const isRoot = process.getuid?.() === 0

describe.skipIf(!isRoot)("Overlay mounts", () => {
  let root: string
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), "be-mounts-"))
  })
  afterAll(() => rmSync(root, { recursive: true, force: true }))

  const unmounted = (target: string): Promise<void> =>
    new Promise((done, failed) =>
      unmount(target, (failure) => failure === null ? done() : failed(failure))
    )
  const layers = (folder: string, count: number): readonly string[] =>
    Array.from({ length: count }, (_, at) => {
      const path = join(root, folder, `a-layer-with-a-long-name-${at}`, "diff")
      mkdirSync(path, { recursive: true })
      writeFileSync(join(path, `file-${at}`), String(at))
      writeFileSync(join(path, "same"), String(at))
      return path
    })
  const overlay = (folder: string, lower: readonly string[]) => {
    const [upper = "", work = "", target = ""] = ["upper", "work", "rootfs"]
      .map((name) => join(root, folder, name))
    for (const path of [upper, work, target]) mkdirSync(path, { recursive: true })
    return { lower, upper, work, target }
  }

  test.each([
    ["few", 3],
    ["more-than-a-page-names", 180],
    ["with,a:comma\\and more", 3],
  ])("%s: the first layer is the uppermost, and nothing is left", async (folder, count) => {
    const plan = overlay(folder, layers(folder, count))
    mountOverlay(plan)
    expect(readFileSync(join(plan.target, "same"), "utf8")).toBe("0")
    expect(readdirSync(plan.target).length).toBe(count + 1)
    writeFileSync(join(plan.target, "new"), "")
    expect(readdirSync(plan.upper)).toEqual(["new"])
    await unmounted(plan.target)
    expect(readdirSync(join(root, folder))).not.toContain("rootfs")
    await unmounted(plan.target)
  })

  test("a busy mount is let go, and its mount point with it", async () => {
    const plan = overlay("busy", layers("busy", 1))
    mountOverlay(plan)
    mountOverlay(overlay("busy", plan.lower)) // one upon the other, as a start after a crash might
    const held = execFileSync("sh", ["-c", "sleep 30 >/dev/null 2>&1 & echo $!"], {
      cwd: plan.target,
      encoding: "utf8",
    })
    await unmounted(plan.target)
    process.kill(Number(held))
    expect(readdirSync(join(root, "busy"))).not.toContain("rootfs")
  })

  test("a file is read as a process inside would, never from outside", () => {
    const rootfs = join(root, "rootfs")
    mkdirSync(join(rootfs, "etc"), { recursive: true })
    writeFileSync(join(root, "secret"), "outside")
    writeFileSync(join(rootfs, "secret"), "inside")
    symlinkSync(join("..", "..", "..", "secret"), join(rootfs, "etc", "passwd"))
    symlinkSync("/proc/self/environ", join(rootfs, "etc", "magic"))
    execFileSync("mkfifo", [join(rootfs, "etc", "group")])
    expect(readInRoot(rootfs, "/etc/passwd")).toBe("inside")
    expect(readInRoot(rootfs, "/etc/magic")).toBe(null)
    expect(readInRoot(rootfs, "/etc/group")).toBe(null)
    expect(readInRoot(rootfs, "/etc")).toBe(null)
    expect(readInRoot(rootfs, "/none/passwd")).toBe(null)
  })
})
