import { basename, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { readCgroups, removeGroup, thaw } from "../../src/kernel/cgroups.ts"
import { writeArchive } from "../images/archive.ts"
import { busyboxImage } from "../images/busybox.ts"
import { debianImage } from "../images/debian.ts"
import { startDistribution } from "../images/distribution.ts"
import type { BuiltImage } from "../images/image.ts"
import { push } from "../images/push.ts"
import type { Volume } from "../powercut/disk.ts"
import { endProcesses, openRig, type Rig } from "../powercut/rig.ts"
import { installedAt } from "./engines/balena.ts"
import { dockerDone } from "./engines/docker.ts"
import { dockerdAt } from "./engines/dockerd.ts"
import { startDaemon, type Daemon, type Engine, type StartOptions } from "./engines/engine.ts"
import { fsyncMs } from "./fsync.ts"
import { layGround, layShelf, type Ground } from "./ground.ts"

const GROUND_MIB = 1536
const SHELF_MIB = 1024

/** All that the figures of one sitting share: engines, disks, images, and one registry. */
export interface Sitting {
  readonly rig: Rig
  readonly engines: readonly Engine[]
  /** A fresh ext4 of this engine's own; one at a time. */
  readonly volume: (engine: Engine) => Promise<Volume>
  /** Starts a daemon whose containers are cleared away with the sitting. */
  readonly start: (engine: Engine, options: Omit<StartOptions, "name">) => Promise<Daemon>
  /** The cgroup that the next daemon started will be in. */
  readonly nextCgroup: () => string
  /** The image that is pulled, and the name it is pulled by. */
  readonly image: BuiltImage
  readonly reference: string
  /** A small one, busybox. */
  readonly smallReference: string
  readonly registryHost: string
  /** One daemon of each engine, side by side, with a bridge and with the image `busybox`. */
  readonly pair: () => Promise<Pair>
  /** Of the disk that the engines' data roots lie on. */
  readonly fsyncMs: number
  readonly say: (text: string) => void
}

/** Daemons, each in a network namespace of its own, which bridge and addresses need. */
export interface Pair extends AsyncDisposable {
  readonly daemons: readonly Daemon[]
}

/** Lays out everything; what it makes is gone when it is closed, even after a SIGKILL of this. */
export const openSitting = async (
  say: (text: string) => void,
): Promise<Sitting & AsyncDisposable> => {
  const rig = await openRig()
  const stack = new AsyncDisposableStack()
  stack.defer(() => closeAll(rig))
  try {
    const { mountPoint } = stack.use(await layShelf(rig, SHELF_MIB))
    const engines = [
      installedAt(join(mountPoint, "balena")),
      dockerdAt(join(mountPoint, "dockerd")),
    ]
    for (const { missing } of engines) {
      const why = await missing()
      if (why !== null) throw new Error(why)
    }
    say("the image: made by debootstrap once, then kept")
    const image = await debianImage("bench")
    const registry = stack.use(await startDistribution(join(rig.root, "registry")))
    await push(image, registry.host, "bench/debian", "1")
    const busybox = await busyboxImage()
    await push(busybox, registry.host, "bench/busybox", "1")
    const archive = join(rig.root, "busybox.tar")
    await writeArchive(archive, [{ image: busybox, tags: ["busybox:latest"] }])
    say(`a disk for each engine: ${GROUND_MIB} MiB, written in full`)
    const grounds = new Map<Engine, Ground>()
    for (const engine of engines) grounds.set(engine, layGround(rig, engine.name, GROUND_MIB))
    const volume = (engine: Engine) => grounds.get(engine)!.volume()
    const starter = starterOf(rig)
    return {
      rig,
      engines,
      volume,
      ...starter,
      image,
      reference: `${registry.host}/bench/debian:1`,
      smallReference: `${registry.host}/bench/busybox:1`,
      registryHost: registry.host,
      pair: () => startPair(engines, volume, starter.start, archive),
      fsyncMs: await fsyncOf(await volume(engines[0]!)),
      say,
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    }
  } catch (fault) {
    await stack.disposeAsync()
    throw fault
  }
}

const starterOf = (rig: Rig): Pick<Sitting, "start" | "nextCgroup"> => {
  let count = 0
  return {
    start: (engine, options) => {
      const name = `daemon-${++count}`
      const cgroupParent = `/${basename(rig.cgroup)}/${name}-containers`
      return startDaemon(rig, engine, { name, cgroupParent, ...options })
    },
    nextCgroup: () => join(rig.cgroup, `daemon-${count + 1}`),
  }
}

const startPair = async (
  engines: readonly Engine[],
  volume: Sitting["volume"],
  start: Sitting["start"],
  archive: string,
): Promise<Pair> => {
  const stack = new AsyncDisposableStack()
  const daemons: Daemon[] = []
  try {
    for (const engine of engines) {
      const { mountPoint } = stack.use(await volume(engine))
      const options = { dataRoot: join(mountPoint, "data"), bridge: true, network: "own" } as const
      const daemon = stack.use(await start(engine, options))
      await dockerDone(daemon.socket, ["load", "--quiet", "--input", archive])
      daemons.push(daemon)
    }
  } catch (fault) {
    await stack.disposeAsync()
    throw fault
  }
  return { daemons, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

/** Median of what a small write and its fsync take; the volume is given back. */
const fsyncOf = async (volume: Volume): Promise<number> => {
  await using _ = volume
  return fsyncMs(volume.mountPoint)
}

/** Containers' control groups lie in every hierarchy, so the rig alone does not find them. */
const closeAll = async (rig: Rig): Promise<void> => {
  const group = `/${basename(rig.cgroup)}`
  thaw(readCgroups(), group)
  await endProcesses(rig.cgroup)
  while (!removeGroup(readCgroups(), group)) await sleep(10)
  await rig[Symbol.asyncDispose]()
}
