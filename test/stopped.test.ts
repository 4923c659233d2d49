import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { lock } from "../src/kernel/files.ts"
import { Database } from "../src/store/database.ts"
import { StoreBody } from "../src/store/store.ts"

const MAIN = join(import.meta.dirname, "../src/main.ts")
let root = ""

const debug = (...words: string[]) => {
  const argv = [MAIN, "balenad", "debug", ...words]
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: "utf8" })
  return { status, stdout, stderr }
}
const contents = () =>
  fs.readdirSync(root).map((name) => [name, fs.readFileSync(join(root, name), "base64")])

beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), "be-stopped-"))
})
afterEach(() => fs.rmSync(root, { recursive: true }))

test("a stopped engine's machines are listed from its log, and nothing there is changed", () => {
  // Left open: what it wrote is in the write-ahead log only, as after a power cut.
  const store = new StoreBody(new Database(join(root, "engine.db")))
  fs.writeFileSync(join(root, "lock"), "")
  const before = contents()
  const { status, stdout } = debug("machines", "--data-root", root)
  expect(stdout).toMatch(/^MACHINE +STATE/)
  expect(status).toBe(0)
  expect(debug("machines", "--json", "--data-root", root).stdout).toBe("[]\n")
  expect(contents()).toEqual(before)
  store.db.close()
})

test("an engine that runs is left alone", () => {
  new Database(join(root, "engine.db")).close()
  const fd = fs.openSync(join(root, "lock"), "w")
  lock(fd, "exclusive", false)
  expect(debug("machines", "--data-root", root)).toEqual({
    status: 1,
    stdout: "",
    stderr: `an engine runs on ${root}: ask it, with balena -H … debug machines\n`,
  })
  fs.closeSync(fd)
})

test("what is no data root is named as such", () => {
  expect(debug("machines", "--data-root", root).stderr)
    .toBe(`${root} is no data root of this engine: no engine.db\n`)
  expect(fs.readdirSync(root)).toEqual([])
})
