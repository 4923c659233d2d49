import { lstatSync, readdirSync, readFileSync, type Stats, statSync } from "node:fs"
import { hostname, release } from "node:os"
import { readCgroups } from "./cgroups.ts"

/** A device node of this machine. */
export interface FoundDevice {
  readonly path: string
  readonly type: "b" | "c"
  readonly major: number
  readonly minor: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/** `uname -r`. */
export const kernelRelease = (): string => release()

/** The machine's own name. */
export const hostName = (): string => hostname()

/** 2 where the whole machine is on cgroup2; else the controllers are version 1's. */
export const cgroupVersion = (): 1 | 2 => (readCgroups().layout === "v2" ? 2 : 1)

/** The mask of capabilities that this process has in effect, in hexadecimal: proc(5). */
export const capabilityMask = (): string =>
  /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0"

/** The file's text; null where there is none. */
export const textOf = (path: string): string | null => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return null
  }
}

/** A device number as makedev(3) packs it. */
const majorOf = (device: number): number =>
  Number(((BigInt(device) >> 8n) & 0xfffn) | ((BigInt(device) >> 32n) & 0xfffff000n))
const minorOf = (device: number): number =>
  Number((BigInt(device) & 0xffn) | ((BigInt(device) >> 12n) & 0xffffff00n))

/** What must not be handed on: terminals and memory that belong to this system alone. */
const LEFT_OUT = new Set(["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"])

/** The device at a path (through links), or all below a directory (without links: they double). */
export const findDevices = (path: string): readonly FoundDevice[] | null => {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return null
  return stat.isDirectory() ? devicesBelow(path) : deviceOf(path, stat)
}

const devicesBelow = (directory: string): readonly FoundDevice[] =>
  readdirSync(directory).filter((name) => !LEFT_OUT.has(name)).flatMap((name) => {
    const path = `${directory}/${name}`
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (stat === undefined) return []
    return stat.isDirectory() ? devicesBelow(path) : deviceOf(path, stat)
  })

const deviceOf = (path: string, stat: Stats): readonly FoundDevice[] => {
  if (!stat.isBlockDevice() && !stat.isCharacterDevice()) return []
  return [{
    path,
    type: stat.isBlockDevice() ? "b" : "c",
    major: majorOf(stat.rdev),
    minor: minorOf(stat.rdev),
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
  }]
}
