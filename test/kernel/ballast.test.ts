import * as Effect from "effect/Effect"
import { existsSync, mkdtempSync, rmSync, statSync, truncateSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { Ballast } from "../../src/kernel/ballast.ts"

let root = ""
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "be-ballast-"))
})
afterAll(() => rmSync(root, { recursive: true }))

const open = (path: string) => Effect.runSync(Effect.provide(Ballast, Ballast.bodyLinux(path)))
const held = (path: string): number => statSync(path).blocks * 512

test("holds real room, gives it up once, and takes it again", () => {
  const path = join(root, "ballast")
  const ballast = open(path)
  expect(ballast.give()).toBe(false)
  ballast.take()
  expect(held(path)).toBeGreaterThanOrEqual(8 << 20)
  expect(ballast.give()).toBe(true)
  expect(existsSync(path)).toBe(false)
  expect(ballast.give()).toBe(false)
  ballast.take()
  expect(ballast.give()).toBe(true)
})

test("is known again by the next process, unless it is a file without room", () => {
  const path = join(root, "again")
  open(path).take()
  expect(open(path).give()).toBe(true)
  open(path).take()
  truncateSync(path, 0)
  truncateSync(path, 8 << 20) // as long as before, and empty
  const ballast = open(path)
  expect(ballast.give()).toBe(false)
  ballast.take()
  expect(held(path)).toBeGreaterThanOrEqual(8 << 20)
})
