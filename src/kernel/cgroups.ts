import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"

/** One mounted cgroup hierarchy. */
export interface Hierarchy {
  readonly mountPoint: string
  /** Controllers and `name=…` of a version 1 hierarchy; empty for cgroup2. */
  readonly controllers: readonly string[]
}

/**
 * How this machine's control groups are laid out. `hybrid`: controllers on version 1 hierarchies,
 * and a cgroup2 mount beside them that owns some as well. cgroups(7).
 */
export interface Cgroups {
  readonly layout: "v1" | "hybrid" | "v2"
  readonly hierarchies: readonly Hierarchy[]
}

const UNIFIED = "/sys/fs/cgroup/unified"

/** Reads the layout from what is mounted. */
export const readCgroups = (): Cgroups => {
  const hierarchies = readFileSync("/proc/self/mountinfo", "utf8").split("\n").flatMap(hierarchyOf)
  const version2 = hierarchies.find(({ controllers }) => controllers.length === 0)
  const layout = version2 === undefined
    ? "v1"
    : version2.mountPoint === UNIFIED && hierarchies.length > 1 ? "hybrid" : "v2"
  return { layout, hierarchies }
}

const hierarchyOf = (line: string): Hierarchy[] => {
  const [before = "", after = ""] = line.split(" - ")
  const [type, , options = ""] = after.split(" ")
  const mountPoint = before.split(" ")[4] ?? ""
  if (!mountPoint.startsWith("/sys/fs/cgroup")) return []
  if (type === "cgroup2") return [{ mountPoint, controllers: [] }]
  if (type !== "cgroup") return []
  const controllers = options.split(",").filter((option) => option !== "rw" && option !== "ro")
  return [{ mountPoint, controllers }]
}

/** The directories of one group, `/balena-engine/<id>`, in every hierarchy that has it. */
const directoriesOf = ({ hierarchies }: Cgroups, path: string): readonly string[] =>
  hierarchies.map(({ mountPoint }) => join(mountPoint, path)).filter((it) => existsSync(it))

/** The directory that holds a controller's files of one group; null: the group is not in it. */
const controllerOf = (
  { hierarchies }: Cgroups, path: string, controller: string,
): string | null => {
  const home = hierarchies.find(({ controllers }) => controllers.includes(controller)) ??
    hierarchies.find(({ controllers }) => controllers.length === 0)
  if (home === undefined) return null
  const directory = join(home.mountPoint, path)
  return existsSync(directory) ? directory : null
}

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return "" // Groups vanish under a reader's hands.
  }
}

const write = (path: string, text: string): void => {
  try {
    writeFileSync(path, text)
  } catch {
    // The same; whoever writes looks at what came of it.
  }
}

const groupsBelow = (directory: string): readonly string[] => {
  let names: readonly string[]
  try {
    names = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
  } catch {
    return []
  }
  return [...names.flatMap((name) => groupsBelow(join(directory, name))), directory]
}

/** Pids in a group and in those below it, as this process counts them. */
export const pidsOf = (cgroups: Cgroups, path: string): readonly number[] => {
  const pids = new Set<number>()
  for (const directory of directoriesOf(cgroups, path)) {
    for (const group of groupsBelow(directory)) {
      const lines = read(join(group, "cgroup.procs")).split("\n")
      for (const pid of lines.filter(Boolean)) pids.add(Number(pid))
    }
  }
  return [...pids].sort((a, b) => a - b)
}

/** Is the group frozen, wholly? */
export const isFrozen = (cgroups: Cgroups, path: string): boolean => {
  const directory = controllerOf(cgroups, path, "freezer")
  if (directory === null) return false
  return read(join(directory, "freezer.state")).trim() === "FROZEN" ||
    /^frozen 1$/m.test(read(join(directory, "cgroup.events")))
}

/** Lets a frozen group run, so that it can die. */
export const thaw = (cgroups: Cgroups, path: string): void => {
  const directory = controllerOf(cgroups, path, "freezer")
  if (directory === null) return
  for (const group of groupsBelow(directory).toReversed()) {
    if (existsSync(join(group, "freezer.state"))) write(join(group, "freezer.state"), "THAWED")
    else write(join(group, "cgroup.freeze"), "0")
  }
}

/**
 * Has the kernel killed anything in this group for want of memory? Source: cgroup-v1/memory.rst
 * (memory.oom_control), cgroup-v2.rst (memory.events).
 */
export const hadOomKill = (cgroups: Cgroups, path: string): boolean => {
  const directory = controllerOf(cgroups, path, "memory")
  if (directory === null) return false
  const counts = ["memory.oom_control", "memory.events"].map((name) => read(join(directory, name)))
    .join("")
  return Number(/^oom_kill (\d+)$/m.exec(counts)?.[1] ?? 0) > 0
}

/**
 * Removes a group and those below it from every hierarchy. False: something still is in it (a
 * dying process leaves its group a moment after it has ended): try again.
 */
export const removeGroup = (cgroups: Cgroups, path: string): boolean => {
  if (path === "/" || path === "") throw new Error("the root group is never removed")
  for (const directory of directoriesOf(cgroups, path)) {
    for (const group of groupsBelow(directory)) {
      try {
        rmdirSync(group)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EBUSY") return false
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
      }
    }
  }
  return true
}
