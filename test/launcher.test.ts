import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"

/** A dist of our own, whose program only tells how it was called. */
let top = ""
const LAUNCHER = join(import.meta.dirname, "../scripts/launcher.sh")
const NAMES = ["balena", "balenad"]

beforeAll(() => {
  top = fs.mkdtempSync(join(tmpdir(), "be launcher "))
  fs.mkdirSync(join(top, "dist"))
  const bin = join(top, `node_modules/node-linux-${process.arch}/bin`)
  fs.mkdirSync(bin, { recursive: true })
  fs.symlinkSync(process.execPath, join(bin, "node"))
  for (const name of NAMES) {
    fs.copyFileSync(LAUNCHER, join(top, "dist", name))
    fs.chmodSync(join(top, "dist", name), 0o755)
  }
  const told =
    "process.argv.slice(2), process.execArgv, process.version, process.env.NODE_COMPILE_CACHE"
  fs.writeFileSync(join(top, "dist/main.js"), `console.log(JSON.stringify([${told}]))`)
})
afterAll(() => fs.rmSync(top, { recursive: true }))

/** Runs a launcher where the system's Node is of no use, from another directory. */
const call = (path: string, ...words: string[]) => {
  const { stdout, stderr } = spawnSync(path, words, {
    cwd: "/",
    encoding: "utf8",
    env: { PATH: "/usr/bin:/bin" },
  })
  if (stderr !== "") throw new Error(stderr)
  return JSON.parse(stdout) as [argv: string[], flags: string[], version: string, compiled: string]
}

test("gives the name and the words, unchanged, to the Node beside it", () => {
  const [argv, , version, compiled] = call(join(top, "dist/balena"), "run", "a b", "*", "")
  expect(argv).toEqual(["balena", "run", "a b", "*", ""])
  expect(version).toBe(process.version)
  expect(compiled).toBe(join(top, "dist/compiled"))
})

test("the daemon's Node is kept small", () => {
  const [argv, flags] = call(join(top, "dist/balenad"), "--debug")
  expect(argv).toEqual(["balenad", "--debug"])
  expect(flags).toContain("--max-semi-space-size=1")
})

test("a link's own name counts where it is one of the family, else what it leads to", () => {
  const links: [string, string][] = [["balena-engine-foo", "balena-engine-foo"], ["xyz", "balenad"]]
  for (const [link, name] of links) {
    fs.symlinkSync(join(top, "dist/balenad"), join(top, link))
    fs.symlinkSync(link, join(top, `again-${link}`))
    expect(call(join(top, link))[0]).toEqual([name])
  }
  expect(call(join(top, "again-xyz"))[0]).toEqual(["balenad"])
})

test("without its Node it says what to do, and never takes another", () => {
  const alone = join(top, "alone/dist/balena")
  fs.mkdirSync(dirname(alone), { recursive: true })
  fs.copyFileSync(LAUNCHER, alone)
  fs.chmodSync(alone, 0o755)
  const { status, stderr } = spawnSync(alone, ["ps"], { encoding: "utf8" })
  expect(status).toBe(1)
  expect(stderr).toMatch(/^error: no Node in .*alone\/node_modules: run npm install there\n$/)
})
