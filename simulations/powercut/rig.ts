import { existsSync, readFileSync, readdirSync, rmSync, rmdirSync, writeFileSync } from "node:fs"
import { mkdir, mkdtemp, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { pidsOf, readCgroups, removeGroup, thaw } from "../../src/kernel/cgroups.ts"
import { outcome } from "../images/command.ts"

/**
 * One run of a real rig. Everything it makes is found again by its name alone, even after a SIGKILL
 * of the rig itself: files, mounts and loop devices lie below `root`, processes are in the cgroups
 * of the same name. So there is no list of things to undo that could itself be lost.
 */
export interface Rig extends AsyncDisposable {
  readonly root: string
  /** A v1 or v2 cgroup directory; processes put into it are ended when the rig is closed. */
  readonly cgroup: string
}

const PREFIX = "be-rig-"

/** Makes the root directory of a run, and clears away what earlier runs that died left behind. */
export const openRig = async (): Promise<Rig> => {
  await cleanRigs()
  const root = await mkdtemp(join(tmpdir(), PREFIX))
  writeFileSync(join(root, "owner"), `${process.pid} ${startTicks(process.pid) ?? ""}`)
  const cgroup = cgroupOf(root)
  await mkdir(cgroup, { recursive: true })
  return { root, cgroup, [Symbol.asyncDispose]: () => closeRig(root) }
}

/** Closes every rig whose owner has died; answers the names of those it closed. */
export const cleanRigs = async (): Promise<readonly string[]> => {
  const names = readdirSync(tmpdir()).filter((name) => name.startsWith(PREFIX))
  const left = names.map((name) => join(tmpdir(), name)).filter((root) => !hasOwner(root))
  for (const root of left) await closeRig(root)
  return left.map((root) => basename(root))
}

/** Does the process that made this root still live? A root without the file is being made now. */
const hasOwner = (root: string): boolean => {
  const path = join(root, "owner")
  if (!existsSync(path)) return true
  const [pid, ticks] = readFileSync(path, "utf8").split(" ")
  return startTicks(Number(pid)) === ticks
}

/** When a process started, in clock ticks since boot; with its pid it names one process. */
const startTicks = (pid: number): string | null => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null
  } catch {
    return null
  }
}

/** The hierarchy that memory is limited and counted in: v1's controller, else the v2 root. */
export const memoryHierarchy = (): string =>
  existsSync("/sys/fs/cgroup/memory/cgroup.procs") ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup"

const cgroupOf = (root: string): string => join(memoryHierarchy(), basename(root))

const closeRig = async (root: string): Promise<void> => {
  await removeGroups(`/${basename(root)}`)
  await unmountBelow(root)
  await detachBelow(root)
  rmSync(root, { recursive: true, force: true })
}

/** Ends whatever is in a group of any hierarchy, frozen or not, and removes the group. */
const removeGroups = async (group: string): Promise<void> => {
  const cgroups = readCgroups()
  thaw(cgroups, group)
  for (let tries = 0; tries < 6000; tries++) {
    for (const pid of pidsOf(cgroups, group)) killed(pid)
    if (removeGroup(cgroups, group)) return
    await sleep(10)
  }
  throw new Error(`${group}: its processes do not end`)
}

/** Ends whatever is in a cgroup or below it, and removes the cgroup. */
export const endProcesses = async (cgroup: string): Promise<void> => {
  if (!existsSync(cgroup)) return
  for (const entry of readdirSync(cgroup, { withFileTypes: true })) {
    if (entry.isDirectory()) await endProcesses(join(cgroup, entry.name))
  }
  for (let tries = 0; tries < 6000; tries++) {
    for (const pid of processesIn(cgroup)) killed(pid)
    if (isRemoved(cgroup)) return
    await sleep(10)
  }
  throw new Error(`${cgroup}: its processes do not end`)
}

/** Removes a cgroup unless something in it is still ending. */
const isRemoved = (cgroup: string): boolean => {
  try {
    rmdirSync(cgroup)
    return true
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === "EBUSY") return false
    if ((fault as NodeJS.ErrnoException).code === "ENOENT") return true
    throw fault
  }
}

const killed = (pid: number): void => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // it ended by itself
  }
}

/** Pids in a cgroup, not counting those in its children; none where it is gone. */
export const processesIn = (cgroup: string): readonly number[] => {
  const path = join(cgroup, "cgroup.procs")
  if (!existsSync(path)) return []
  return readFileSync(path, "utf8").split("\n").filter(Boolean).map(Number)
}

/** Mount points at or below a path, innermost first. */
export const mountsBelow = (path: string): readonly string[] =>
  readFileSync("/proc/self/mountinfo", "utf8").split("\n")
    .map((line) => (line.split(" ")[4] ?? "").replace(/\\040/g, " "))
    .filter((point) => point === path || point.startsWith(`${path}/`))
    .reverse()

/** Unmounts all at or below a path. What is still busy after a while is detached instead. */
export const unmountBelow = async (path: string): Promise<void> => {
  for (const point of mountsBelow(path)) {
    let gone = false
    for (let tries = 0; tries < 50 && !gone; tries++) {
      gone = (await outcome("umount", [point])).code === 0
      if (!gone) await sleep(20)
    }
    if (!gone) await outcome("umount", ["--lazy", point])
  }
}

/** Detaches loop devices whose backing file is below a path; mounted ones go with their mount. */
const detachBelow = async (path: string): Promise<void> => {
  for (const device of readdirSync("/sys/block").filter((name) => name.startsWith("loop"))) {
    const backing = backingOf(device)
    if (backing.startsWith(`${path}/`)) await outcome("losetup", ["--detach", `/dev/${device}`])
  }
}

/** The file below a loop device; empty: none, or it has just been detached by somebody else. */
const backingOf = (device: string): string => {
  try {
    return readFileSync(`/sys/block/${device}/loop/backing_file`, "utf8").trim()
  } catch {
    return ""
  }
}

/** A file of the rig's own, with its directory. */
export const scratchFile = async (path: string, content: string): Promise<string> => {
  await mkdir(join(path, ".."), { recursive: true })
  await writeFile(path, content)
  return path
}
