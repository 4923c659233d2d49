import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DataRootFault } from "./data-root.ts"
import { lock } from "./files.ts"

/** The database of a data root and its write-ahead log: together they are the truth. */
const DATABASE = "engine.db"
const PARTS = [DATABASE, `${DATABASE}-wal`]

/**
 * Gives `look` the path of a copy of a stopped engine's database, made under the root's lock, and
 * takes the copy away again. The root itself is left as it is, to the last byte.
 */
export function withStoppedRoot<A>(root: string, look: (databasePath: string) => A): A {
  if (!fs.existsSync(join(root, DATABASE))) {
    throw new DataRootFault({ cause: `${root} is no data root of this engine: no ${DATABASE}` })
  }
  const copy = fs.mkdtempSync(join(tmpdir(), "balena-debug-"))
  try {
    locked(root, () => {
      for (const part of PARTS.filter((part) => fs.existsSync(join(root, part)))) {
        fs.copyFileSync(join(root, part), join(copy, part), fs.constants.COPYFILE_FICLONE)
      }
    })
    return look(join(copy, DATABASE))
  } finally {
    fs.rmSync(copy, { recursive: true, force: true })
  }
}

function locked(root: string, work: () => void): void {
  const path = join(root, "lock")
  if (!fs.existsSync(path)) {
    work()
    return
  }
  const fd = fs.openSync(path, "r")
  try {
    if (!lock(fd, "exclusive", false)) {
      throw new DataRootFault({
        cause: `an engine runs on ${root}: ask it, with balena -H … debug machines`,
      })
    }
    work()
  } finally {
    fs.closeSync(fd)
  }
}
