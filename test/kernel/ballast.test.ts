import { execFileSync } from "node:child_process"
import * as Effect from "effect/Effect"
import { mkdtempSync, rmdirSync, rmSync, statSync, truncateSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test } from "vitest"
import { Ballast } from "../../src/kernel/ballast.ts"
import { freeSpace } from "../../src/kernel/flush.ts"
import { ballastContract } from "../contracts/ballast.ts"

const open = (path: string) => Effect.runSync(Effect.provide(Ballast, Ballast.bodyLinux(path)))
const held = (path: string): number => statSync(path).blocks * 512

/** A small file system: what is "plenty" of it is for its size to say. */
const mounted = (directory: string) => {
  const mount = (options: string) =>
    execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", directory])
  mount("size=128m")
  return {
    fill: () => mount("remount,size=40m"),
    makeRoom: () => mount("remount,size=128m"),
    close: () => execFileSync("umount", [directory]),
  }
}

ballastContract("Linux", () => {
  const directory = mkdtempSync(join(tmpdir(), "be-ballast-"))
  const path = join(directory, "ballast")
  const { fill, makeRoom, close } = mounted(directory)
  return {
    open: () => open(path),
    clear: () => rmSync(path, { force: true }),
    fill,
    makeRoom,
    room: () => freeSpace(directory).bytes,
    close: () => {
      close()
      rmdirSync(directory)
    },
  }
}, process.getuid?.() === 0 ? null : "needs root")

test("holds real room; a file of its length without blocks is none", () => {
  const directory = mkdtempSync(join(tmpdir(), "be-ballast-"))
  try {
    const path = join(directory, "ballast")
    open(path).take()
    expect(held(path)).toBeGreaterThanOrEqual(8 << 20)
    truncateSync(path, 0)
    truncateSync(path, 8 << 20)
    const ballast = open(path)
    expect(ballast.give()).toBe(false)
    ballast.take()
    expect(held(path)).toBeGreaterThanOrEqual(8 << 20)
  } finally {
    rmSync(directory, { recursive: true })
  }
})
