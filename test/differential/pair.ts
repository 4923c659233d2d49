import { mkdirSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { balena } from "../../simulations/bench/engines/balena.ts"
import { dockerDone } from "../../simulations/bench/engines/docker.ts"
import { dockerd } from "../../simulations/bench/engines/dockerd.ts"
import { type Daemon, type Engine, startDaemon } from "../../simulations/bench/engines/engine.ts"
import { makeVolume } from "../../simulations/powercut/disk.ts"
import { readCgroups, removeGroup } from "../../src/kernel/cgroups.ts"
import { type Corner, openCorner } from "../e2e/engine.ts"
import { writeImages } from "./images.ts"
import { PARENT_GROUP } from "./row.ts"

/** Our engine and Docker's own, each in a machine of its own with the same images. */
export interface Pair extends AsyncDisposable {
  readonly ours: Daemon
  readonly theirs: Daemon
  /** A directory for what rows bind and load; the same for both. */
  readonly shared: string
}

const VOLUME_MIB = 512

const startOne = async ({ rig }: Corner, engine: Engine): Promise<Daemon> => {
  // Docker's overlay2 wants a real file system below it, not another overlay.
  const { mountPoint } = await makeVolume(rig.root, engine.name, VOLUME_MIB)
  const dataRoot = join(mountPoint, "data")
  return startDaemon(rig, engine, {
    name: engine.name,
    dataRoot,
    // Containers of both are counted below the corner's control group, and end with it.
    cgroupParent: `/${basename(rig.cgroup)}/${engine.name}-containers`,
    bridge: true,
    network: "own",
  })
}

/** Starts both and loads the images into both. */
export const openPair = async (): Promise<Pair> => {
  const corner = await openCorner()
  try {
    const shared = join(corner.root, "shared")
    mkdirSync(shared)
    writeFileSync(join(shared, "garbage"), "neither an archive nor JSON\n")
    const [ours, theirs] = await Promise.all([startOne(corner, balena), startOne(corner, dockerd)])
    for (const archive of await writeImages(shared)) {
      const load = ({ socket }: Daemon) => dockerDone(socket, ["load", "-i", archive])
      await Promise.all([load(ours), load(theirs)])
    }
    const tag = ({ socket }: Daemon) => dockerDone(socket, ["tag", "busybox:1.29", "bb"])
    await Promise.all([tag(ours), tag(theirs)])
    return {
      ours,
      theirs,
      shared,
      [Symbol.asyncDispose]: async () => {
        await Promise.all([ours.stop(), theirs.stop()])
        removeGroup(readCgroups(), PARENT_GROUP)
        await corner[Symbol.asyncDispose]()
      },
    }
  } catch (fault) {
    await corner[Symbol.asyncDispose]()
    throw fault
  }
}
