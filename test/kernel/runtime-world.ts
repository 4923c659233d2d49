import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { readCgroups, removeGroup } from "../../src/kernel/cgroups.ts"
import { programOf } from "../../src/kernel/probe.ts"
import { bodyLinux } from "../../src/kernel/runtime-linux.ts"
import type { RunPlan } from "../../src/kernel/runtime.ts"
import type { Program, World } from "../contracts/runtime.ts"
import { BUSYBOX, hasBusybox, makeRootfs, specOf, type SpecOptions } from "./busybox.ts"

/** Why containers cannot be run here; null: they can. In CI that is no excuse. */
export const whyNot = (runtime: string): string | null => {
  const why = process.getuid?.() !== 0
    ? "needs root"
    : !hasBusybox
    ? `needs ${BUSYBOX}: apt-get install busybox-static`
    : programOf("conmon") === null
    ? "needs conmon: apt-get install conmon"
    : programOf(runtime) === null
    ? `needs ${runtime}: apt-get install ${runtime}`
    : null
  if (why !== null && process.env["CI"] === "true") throw new Error(why)
  return why
}

const MEMORY_MAX = 16 << 20

const argsOf = (program: Program): readonly string[] => {
  switch (program.does) {
    case "exit":
      return ["sh", "-c", `exit ${program.code}`]
    case "print":
      return ["sh", "-c", `printf '%s' '${program.stdout}'; printf '%s' '${program.stderr}' >&2`]
    case "copy":
      return ["cat"]
    case "serve":
      return ["sh", "-c", "trap 'exit 7' TERM; echo ready; sleep 1000 & wait"]
    case "missing":
      return ["nope"]
    case "unrunnable":
      return ["/etc/notes"]
    case "hog":
      return ["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]
  }
}

export type CommandOptions = Partial<SpecOptions & RunPlan>

/** A Linux machine's corner of our own: directories and a cgroup that nobody else uses. */
export interface LinuxWorld extends World {
  readonly root: string
  readonly execRoot: string
  readonly cgroupParent: string
  /** A plan for any command line. */
  readonly command: (id: string, args: readonly string[], options?: CommandOptions) => RunPlan
}

export const makeLinuxWorld = (runtime: "crun" | "runc"): LinuxWorld => {
  const root = mkdtempSync(join(tmpdir(), "be-run-"))
  const name = root.split("/").at(-1)!
  const cgroupParent = `/${name}`
  // Long enough that a socket's plain path would not fit its 107 bytes.
  const execRoot = join(root, "exec-root-with-a-name-that-is-quite-long-".repeat(3))
  const lower = join(root, "lower")
  makeRootfs(lower)

  const command: LinuxWorld["command"] = (id, args, options = {}) => ({
    id,
    lower: [lower],
    home: join(root, "containers", id),
    files: { hostname: `${id}\n` },
    folders: [],
    shmBytes: null,
    spec: ({ path }) =>
      specOf(path, { args, cgroup: join(cgroupParent, id), terminal: false, ...options }),
    terminal: false,
    stdin: false,
    stdinOnce: false,
    log: true,
    journal: null,
    endpoint: null,
    ...options,
  })
  return {
    root,
    execRoot,
    cgroupParent,
    command,
    body: () => bodyLinux({ execRoot, runtime, cgroupParent }),
    plan: (id, program) =>
      command(id, argsOf(program), {
        ...(program.does === "hog" ? { memory: MEMORY_MAX } : {}),
        ...(program.does === "copy" ? { stdin: true, stdinOnce: true } : {}),
      }),
    leftovers: () => [...leftoversOf(root, execRoot), ...groupsOf(cgroupParent)],
    close: () => {
      removeGroup(readCgroups(), cgroupParent)
      rmSync(root, { recursive: true, force: true })
    },
  }
}

const leftoversOf = (root: string, execRoot: string): readonly string[] => [
  ...readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter((line) => line.includes(root)),
  ...["bundles", "crun", "runc"].map((name) => join(execRoot, name)).filter((it) => existsSync(it))
    .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name))),
  ...readdirSync("/proc").filter((name) => /^\d+$/.test(name))
    .map((pid) => `process ${pid}: ${commandLine(pid)}`).filter((line) => line.includes(execRoot)),
]

const commandLine = (pid: string): string => {
  try {
    return readFileSync(join("/proc", pid, "cmdline"), "utf8").replaceAll("\0", " ")
  } catch {
    return ""
  }
}

const groupsOf = (parent: string): readonly string[] =>
  readCgroups().hierarchies.map(({ mountPoint }) => join(mountPoint, parent))
    .filter((it) => existsSync(it))
    .flatMap((directory) =>
      readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory())
        .map((entry) => join(directory, entry.name))
    )
