import { readFileSync } from "node:fs"
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os"
import { readCgroups } from "../../src/kernel/cgroups.ts"
import { outcome } from "../images/command.ts"
import type { Sitting } from "./sitting.ts"

const GIB = 2 ** 30

/** What the figures were measured on: kinds of things, and no names of this machine's own. */
export const machineFacts = ({ fsyncMs }: Sitting, load: number): readonly string[] => {
  const [kernel = ""] = /^\d+\.\d+/.exec(release()) ?? []
  const cores = availableParallelism()
  return [
    `${cores} cores (${cpus()[0]?.model.trim() ?? "unknown"}), ` +
    `${Math.round(totalmem() / GIB)} GiB of memory, Linux ${kernel}, ${distribution()}, ` +
    `control groups ${readCgroups().layout}`,
    `data roots on ext4 on a loop device (direct I/O) over the machine's own disk; ` +
    `4 KiB written and fsynced there: ${fsyncMs.toFixed(2)} ms (median)`,
    `load average before: ${load.toFixed(1)}${load > cores / 2 ? ", so not a quiet machine" : ""}`,
  ]
}

/** Read before anything is measured. */
export const loadBefore = (): number => loadavg()[0] ?? NaN

const distribution = (): string =>
  /^PRETTY_NAME="?([^"\n]+)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "Linux"

/** How each program that takes part is asked for its version. */
const PROGRAMS = ["dockerd", "containerd", "runc", "crun", "conmon", "docker", "docker-registry"]

/** `crun 1.8.1`, one of each program, and the Node this engine runs on. */
export const versions = async (): Promise<readonly string[]> => {
  const found = await Promise.all(PROGRAMS.map(async (program) => {
    const { stdout, stderr } = await outcome(program, ["--version"])
    const [version = "?"] = /\d+\.\d+[\w.+~-]*/.exec(stdout || stderr) ?? []
    return `${program} ${version}`
  }))
  return [...found, `Node ${process.versions.node}`]
}
