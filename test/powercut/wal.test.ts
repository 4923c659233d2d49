import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { type Disk, makeDisk } from "../../simulations/powercut/disk.ts"
import { openRig } from "../../simulations/powercut/rig.ts"
import { Wal } from "../../src/kernel/wal.ts"
import { Database } from "../../src/store/database.ts"
import { notesIn } from "../contracts/notes.ts"
import { walContract, type WalWorld } from "../contracts/wal.ts"

let made = 0

/** A database in a directory of its own on a disk whose power can be cut. */
const worldOn = async (disk: Disk): Promise<WalWorld> => {
  const name = `world-${made++}`
  mkdirSync(join(disk.mountPoint, name))
  const path = join(disk.mountPoint, name, "engine.db")
  const database = new Database(path)
  const notes = notesIn(database)
  database.checkpoint() // the table is on the disk for certain, whatever the body does
  return {
    body: Wal.bodyLinux(path),
    commit: notes.commit,
    empty: () => database.checkpoint(),
    cut: async () => {
      const cut = await disk.cut(name)
      await using volume = await cut.mount()
      const left = new Database(join(volume.mountPoint, name, "engine.db"))
      try {
        return notesIn(left).all()
      } finally {
        left.close()
      }
    },
    close: async () => database.close(),
  }
}

walContract("Linux", async () => {
  const rig = await openRig()
  const disk = await makeDisk(rig.root, { sizeMiB: 128, spaceMiB: 1024 })
  return {
    make: () => worldOn(disk),
    close: async () => {
      await disk[Symbol.asyncDispose]()
      await rig[Symbol.asyncDispose]()
    },
  }
}, process.getuid?.() === 0 ? null : "needs root")
