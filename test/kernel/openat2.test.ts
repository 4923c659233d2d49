import { spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { once } from "node:events"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test } from "vitest"
import { close, openInRoot, openRoot } from "../../src/kernel/files.ts"

/** Renames a file to and fro until it is killed; says so once it has begun. */
const RENAMING = `
  const { renameSync } = require("node:fs")
  const [one, other] = process.argv.slice(1)
  for (let turn = 0;; turn++) {
    renameSync(one, other)
    renameSync(other, one)
    if (turn === 100) process.stdout.write("renaming")
  }`

test("paths that lead up are opened whatever is renamed meanwhile, anywhere", async () => {
  const top = mkdtempSync(join(tmpdir(), "be-openat2-"))
  mkdirSync(join(top, "a/b"), { recursive: true })
  symlinkSync("../a/b", join(top, "a/up"))
  writeFileSync(join(top, "one"), "")
  const renaming = spawn(process.execPath, [
    "--eval", RENAMING, join(top, "one"), join(top, "other"),
  ])
  const root = openRoot(top)
  try {
    await once(renaming.stdout, "data")
    for (let n = 0; n < 20_000; n++) close(openInRoot(root, "a/up/../../a/up"))
    expect(renaming.exitCode).toBeNull()
  } finally {
    close(root)
    renaming.kill("SIGKILL")
    await once(renaming, "close")
    rmSync(top, { recursive: true })
  }
})
