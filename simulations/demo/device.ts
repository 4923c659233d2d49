import { existsSync, mkdirSync } from "node:fs"
import { basename, join } from "node:path"
import { BALENAD } from "./terminal.ts"
import { startDaemon, type Daemon, type Engine } from "../bench/engines/engine.ts"
import { makeDisk, type Disk } from "../powercut/disk.ts"
import type { Rig } from "../powercut/rig.ts"

/** A device with an engine on it, whose power can be cut. */
export interface Device extends AsyncDisposable {
  /** Why its power cut is only a SIGKILL; null: it is a real one, of the disk as well. */
  readonly whyOnlyKilled: string | null
  readonly dataRoot: () => string
  /** Starts the engine on what the disk holds. */
  readonly powerOn: () => Promise<Daemon>
  /** Cuts the power: every process is gone at once, and the disk is as it was at that instant. */
  readonly cutPower: () => Promise<void>
  /** The last lines that the engine has logged. */
  readonly lastWords: () => string
}

const LOG_LINES = 15

/** The engine as it is shipped, in a corner of its own. */
const engineIn = (rig: Rig): Engine => ({
  name: "balena",
  argv: (place) => [
    BALENAD,
    "--data-root", place.dataRoot,
    "--exec-root", place.execRoot,
    "--host", `unix://${place.socket}`,
    "--pidfile", place.pidfile,
    "--cgroup-parent", `/${basename(rig.cgroup)}/containers`,
    "--bridge", "none",
  ],
  missing: async () => existsSync(BALENAD) ? null : "dist/balenad is missing: npm run build",
})

/**
 * Makes a device. Its disk is an ext4 in a file whose copy, taken at any instant, is what a power
 * cut at that instant leaves behind; where this machine has no loop devices or no XFS, its disk is
 * a directory, and a power cut only kills.
 */
export const makeDevice = async (rig: Rig, imageMiB: number): Promise<Device> => {
  const stack = new AsyncDisposableStack()
  const sizeMiB = 512 + 3 * imageMiB
  let disk: Disk | null = null
  let whyOnlyKilled: string | null = null
  try {
    disk = stack.use(await makeDisk(rig.root, { sizeMiB, spaceMiB: 3 * sizeMiB }))
  } catch (fault) {
    whyOnlyKilled = fault instanceof Error ? fault.message.split("\n")[0]! : String(fault)
  }
  let root = disk?.mountPoint ?? join(rig.root, "disk")
  let daemon: Daemon | null = null
  let boots = 0
  const dataRoot = () => join(root, "data")
  return {
    whyOnlyKilled,
    dataRoot,
    powerOn: async () => {
      mkdirSync(dataRoot(), { recursive: true })
      boots += 1
      const options = { name: `boot-${boots}`, dataRoot: dataRoot() }
      daemon = stack.use(await startDaemon(rig, engineIn(rig), options))
      return daemon
    },
    cutPower: async () => {
      const cut = await disk?.cut("the demonstration's")
      await daemon?.machine.cut()
      if (cut !== undefined) root = stack.use(await cut.mount()).mountPoint
    },
    lastWords: () => daemon?.machine.log().trimEnd().split("\n").slice(-LOG_LINES).join("\n") ?? "",
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}
