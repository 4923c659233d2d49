import { randomFillSync } from "node:crypto"
import { closeSync, fsyncSync, openSync, writeFileSync, writeSync } from "node:fs"
import { join } from "node:path"
import { makeVolume, mountAnew, type Volume } from "../powercut/disk.ts"
import type { Rig } from "../powercut/rig.ts"

const MIB = 2 ** 20

/**
 * A file that is written in full once, so that no later write to it has to find room, and made into
 * an empty ext4 as often as somebody asks: every measurement begins on the same disk.
 */
export interface Ground {
  /** Formats it anew and mounts it. Dispose the volume before asking for the next. */
  readonly volume: () => Promise<Volume>
}

export const layGround = (rig: Rig, name: string, sizeMiB: number): Ground => {
  const image = join(rig.root, `${name}.ext4`)
  const chunk = randomFillSync(Buffer.alloc(MIB)) // zeros may be stored as nothing
  const file = openSync(image, "wx")
  try {
    for (let at = 0; at < sizeMiB; at++) writeSync(file, chunk)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  return { volume: async () => reading(await mountAnew(image, join(rig.root, name))) }
}

/** A disk for programs, which is written once. */
export const layShelf = async (rig: Rig, sizeMiB: number): Promise<Volume> =>
  reading(await makeVolume(rig.root, "installed", sizeMiB))

/** The kernel's own default, and what a device has; a data centre's machine may have megabytes. */
const READ_AHEAD_KIB = 128

const reading = (volume: Volume): Volume => {
  writeFileSync(`/sys/block/${volume.device}/queue/read_ahead_kb`, String(READ_AHEAD_KIB))
  return volume
}
