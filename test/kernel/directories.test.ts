import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Directories } from "../../src/kernel/directories.ts"
import { directoriesContract } from "../contracts/directories.ts"

directoriesContract("Linux", () => {
  const root = mkdtempSync(join(tmpdir(), "be-directories-"))
  let made = 0
  return {
    body: Directories.bodyLinux,
    fresh: () => join(root, String(made++)),
    put: (path) => {
      mkdirSync(path, { recursive: true })
      writeFileSync(join(path, "file"), "x")
    },
    close: () => rmSync(root, { recursive: true }),
  }
})
