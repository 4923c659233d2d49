import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { once } from "node:events"
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { endProcesses, type Rig } from "./rig.ts"

/**
 * A machine, as far as a daemon can tell: a pid namespace (its end is the end of every process in
 * it, as when power fails), a mount namespace (its mounts go with it) and a boot id of its own.
 * File systems, network and kernel are this machine's.
 */
export interface Machine extends AsyncDisposable {
  /** The first program's pid, as the host counts; its exit ends the whole. 0: it has ended. */
  readonly pid: () => number
  /** The pid of the namespace's init, which is none of the program's. */
  readonly init: () => number
  /** Where all its processes are counted; the daemon's containers are elsewhere. */
  readonly cgroup: string
  /** What the program and its children wrote to stdout and stderr. */
  readonly log: () => string
  /** Resolves with the first program's exit code, or null if a signal ended it. */
  readonly ended: Promise<number | null>
  /** Ends every process at once. */
  readonly cut: () => Promise<void>
}

/**
 * The namespace's init: joins the cgroup, shows the new boot id, runs the program and reaps
 * whatever is orphaned. The arguments come in as "$@"; nothing is spliced into the text.
 */
const INIT = `echo $$ > "$1"/cgroup.procs; mount --bind "$2" /proc/sys/kernel/random/boot_id
test "$3" = host || ip link set lo up
shift 3; "$@" & wait $!`

export interface PowerOptions {
  readonly argv: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** `own`: a network namespace with nothing but loopback. Default: the host's. */
  readonly network?: "host" | "own"
}

/** Starts a program as the first of a machine of its own; `name` is unique within the rig. */
export const powerOn = async (
  rig: Rig,
  name: string,
  { argv, env = {}, network = "host" }: PowerOptions,
): Promise<Machine> => {
  const [cgroup, home] = [join(rig.cgroup, name), join(rig.root, `${name}.machine`)]
  for (const directory of [cgroup, home]) mkdirSync(directory, { recursive: true })
  const bootId = join(home, "boot_id")
  writeFileSync(bootId, `${randomUUID()}\n`)
  const logPath = join(home, "log")
  const log = openSync(logPath, "a")
  const child = spawn("unshare", [
    "--pid", "--fork", "--kill-child", "--mount", "--mount-proc",
    ...(network === "own" ? ["--net"] : []),
    "sh", "-c", INIT, "init", cgroup, bootId, network, ...argv,
  ], { stdio: ["ignore", log, log], env: { ...process.env, ...env } })
  closeSync(log)
  const ended = once(child, "exit").then(([code]: (number | null)[]) => code ?? null)
  const cut = async (): Promise<void> => {
    child.kill("SIGKILL") // takes the namespace's init with it, and that takes all the others
    await endProcesses(cgroup)
    await ended
  }
  return {
    pid: () => childOf(childOf(child.pid ?? 0)),
    init: () => childOf(child.pid ?? 0),
    cgroup,
    log: () => readFileSync(logPath, "utf8"),
    ended,
    cut,
    [Symbol.asyncDispose]: cut,
  }
}

/** The first child of a process; 0 where there is none. */
const childOf = (pid: number): number => {
  const path = `/proc/${pid}/task/${pid}/children`
  if (pid === 0 || !existsSync(path)) return 0
  return Number(readFileSync(path, "utf8").split(" ")[0] ?? 0)
}
