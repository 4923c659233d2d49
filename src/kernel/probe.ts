import { accessSync, constants } from "node:fs"
import type { Cgroups } from "./cgroups.ts"

/** An OCI runtime that works on this machine. */
export interface OciRuntime {
  readonly name: "crun" | "runc"
  readonly path: string
  /** Must it be started with the machine's cgroup2 hierarchy hidden? */
  readonly hideUnified: boolean
}

/** What this machine offers for running containers. */
export interface Machine {
  readonly conmon: string
  /** In order of preference; never empty. */
  readonly runtimes: readonly OciRuntime[]
}

/** A program this engine cannot do without is not installed. */
export class Missing extends Error {
  override readonly name = "Missing"
}

const FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/libexec/podman"

/** Where a program is; a name with a slash is a path. Null: not there, or not executable. */
export const programOf = (name: string, folders = FOLDERS): string | null => {
  const candidates = name.includes("/")
    ? [name]
    : folders.split(":").map((folder) => `${folder}/${name}`)
  for (const candidate of candidates) {
    try {
      accessSync(candidate, constants.X_OK)
      return candidate
    } catch {
      // Not here.
    }
  }
  return null
}

/**
 * Looks what is installed: a dozen `access` calls, so it costs well under a millisecond. What
 * cannot be seen so cheaply, the first container's create finds out (`isUnfit`). Throws `Missing`
 * with what to install.
 * @param wanted the runtime to use and no other: `crun`, `runc` or a path; null: the best there is.
 * @param folders where to look, in order, as in PATH.
 */
export const probe = (
  wanted: string | null, { layout }: Pick<Cgroups, "layout">, folders = FOLDERS,
): Machine => {
  const conmon = programOf("conmon", folders)
  if (conmon === null) throw new Missing("conmon is not installed: apt-get install conmon")
  const names = wanted === null ? ["crun", "runc"] : [wanted]
  const runtimes = names.flatMap((name): OciRuntime[] => {
    const path = programOf(name, folders)
    if (path === null) return []
    // crun refuses a hybrid layout whose cgroup2 side owns controllers; runc takes it as it is.
    const family = /crun[^/]*$/.test(path) ? "crun" : "runc"
    return [{ name: family, path, hideUnified: family === "crun" && layout === "hybrid" }]
  })
  if (runtimes.length > 0) return { conmon, runtimes }
  throw new Missing(
    wanted === null
      ? "no container runtime is installed: apt-get install crun (or runc)"
      : `the container runtime ${wanted} is not installed`,
  )
}
