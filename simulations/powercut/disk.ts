import { closeSync, mkdirSync, openSync, readFileSync, rmSync, truncateSync } from "node:fs"
import { basename, join } from "node:path"
import { bind, check } from "../../src/kernel/libc.ts"
import { run } from "../images/command.ts"
import { unmountBelow } from "./rig.ts"

/** A mounted ext4 of its own, on a loop device, in one file. */
export interface Volume extends AsyncDisposable {
  /** The backing file. */
  readonly image: string
  readonly mountPoint: string
  /** `loop7`: the name in /sys/block. */
  readonly device: string
}

/** A disk whose power can be cut. */
export interface Disk extends Volume {
  /**
   * Answers a copy of the disk as it is at this instant: what a power cut now would leave behind,
   * except that writes still in a device's own volatile cache are kept.
   */
  readonly cut: (label: string) => Promise<Cut>
}

/** The disk after a cut. It takes next to no space until it is written to. */
export interface Cut {
  readonly label: string
  readonly image: string
  /** When the copy was asked for and when it was there; `performance.now()`. */
  readonly beganMs: number
  readonly endedMs: number
  /** Mounts the copy, which replays the file system's own journal. */
  readonly mount: () => Promise<Volume>
  /** Checks the file system after the replay; throws what e2fsck found. */
  readonly fsck: () => Promise<void>
  readonly drop: () => void
}

const MIB = 2 ** 20

/**
 * Attaches an image to a loop device and mounts it. Direct I/O: else the pages would be cached
 * twice and an fsync would end in the page cache of the file below. Detaching at once only marks
 * the device, so it goes by itself with its last mount.
 */
const mountImage = async (image: string, mountPoint: string, options: string): Promise<Volume> => {
  mkdirSync(mountPoint, { recursive: true })
  const found = await run("losetup", ["--find", "--show", "--direct-io=on", image])
  const device = found.trim()
  try {
    await run("mount", ["-o", options, device, mountPoint])
  } finally {
    await run("losetup", ["--detach", device])
  }
  return {
    image,
    mountPoint,
    device: basename(device),
    [Symbol.asyncDispose]: async () => {
      await unmountBelow(mountPoint)
      rmSync(mountPoint, { recursive: true, force: true })
    },
  }
}

/** A sparse file formatted as ext4. */
const formatExt4 = async (image: string, sizeMiB: number): Promise<void> => {
  closeSync(openSync(image, "w"))
  truncateSync(image, sizeMiB * MIB)
  await makeExt4(image)
}

/** Formats a file as ext4, as a device's data partition is; blocks that it has stay allocated. */
const makeExt4 = (image: string): Promise<string> =>
  run("mkfs.ext4", [
    ...["-q", "-F", "-b", "4096", "-m", "1"],
    ...["-E", "lazy_itable_init=0,nodiscard", image],
  ])

/** Formats and mounts a file that is there already; the file stays when this is disposed. */
export const mountAnew = async (image: string, mountPoint: string): Promise<Volume> => {
  await makeExt4(image)
  return mountImage(image, mountPoint, "noatime")
}

/** Makes and mounts an ext4 of its own on the machine's own disk; removed when disposed. */
export const makeVolume = async (
  root: string,
  name: string,
  sizeMiB: number,
): Promise<Volume> => {
  const image = join(root, `${name}.ext4`)
  await formatExt4(image, sizeMiB)
  const volume = await mountImage(image, join(root, name), "noatime")
  return {
    ...volume,
    [Symbol.asyncDispose]: async () => {
      await volume[Symbol.asyncDispose]()
      rmSync(image, { force: true })
    },
  }
}

/**
 * Makes a disk whose power can be cut: ext4 in a file on an XFS with reflinks, which lies in a
 * sparse file itself. `spaceMiB` is what the disk and all the writes to its copies may take
 * together.
 */
export const makeDisk = async (
  root: string,
  { sizeMiB, spaceMiB }: { readonly sizeMiB: number; readonly spaceMiB: number },
): Promise<Disk> => {
  const below = join(root, "reflink.xfs")
  closeSync(openSync(below, "w"))
  truncateSync(below, spaceMiB * MIB)
  await run("mkfs.xfs", ["-q", "-f", "-m", "reflink=1", below])
  const stack = new AsyncDisposableStack()
  stack.defer(() => rmSync(below, { force: true }))
  try {
    const reflink = stack.use(await mountImage(below, join(root, "reflink"), "noatime"))
    const image = join(reflink.mountPoint, "disk.ext4")
    await formatExt4(image, sizeMiB)
    const volume = stack.use(await mountImage(image, join(root, "disk"), "noatime"))
    let cuts = 0
    const cut = async (label: string): Promise<Cut> => {
      const copy = join(reflink.mountPoint, `cut-${cuts++}.ext4`)
      const beganMs = performance.now()
      await clone(image, copy)
      return cutOf(label, copy, root, beganMs)
    }
    return { ...volume, cut, [Symbol.asyncDispose]: () => stack.disposeAsync() }
  } catch (fault) {
    await stack.disposeAsync()
    throw fault
  }
}

const cutOf = (label: string, image: string, root: string, beganMs: number): Cut => ({
  label,
  image,
  beganMs,
  endedMs: performance.now(),
  mount: () => mountImage(image, join(root, basename(image, ".ext4")), "noatime"),
  fsck: async () => {
    await run("e2fsck", ["-f", "-n", image])
  },
  drop: () => rmSync(image, { force: true }),
})

const ioctl = bind("int ioctl(int fd, unsigned long request, int argument)")
/** FICLONE (ioctl_ficlone(2)): the file becomes a copy that shares every extent. */
const FICLONE = 0x40049409

/** Clones a file on a thread of its own: the kernel holds off writers to the source meanwhile. */
const clone = async (source: string, target: string): Promise<void> => {
  const from = openSync(source, "r")
  const to = openSync(target, "wx")
  try {
    await new Promise<void>((resolve, reject) =>
      ioctl.async(to, FICLONE, from, (fault: Error | null, result: number) => {
        try {
          if (fault !== null) throw fault
          check(result, "ioctl FICLONE", target)
          resolve()
        } catch (why) {
          reject(why)
        }
      }))
  } finally {
    closeSync(from)
    closeSync(to)
  }
}

/** Sectors (of 512 bytes) written to a volume's device since it was attached. */
export const sectorsWritten = ({ device }: Volume): number => {
  const fields = readFileSync(`/sys/block/${device}/stat`, "utf8").trim().split(/\s+/)
  return Number(fields[6])
}
