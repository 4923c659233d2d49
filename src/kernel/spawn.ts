import { closeSync, openSync, readdirSync, readSync } from "node:fs"
import { bind, check, errno, Errno } from "./libc.ts"
import { onEnd, processOf, type Process } from "./processes.ts"

/**
 * Starting programs. `posix_spawn` costs 0.15 ms whatever the daemon's size; fork, as Node does it,
 * copies page tables. Main thread only.
 */

const O_CLOEXEC = 0o2000000
const F_DUPFD_CLOEXEC = 1030
const F_SETFD = 2
const FD_CLOEXEC = 1
const CLONE_FS = 0x200
const CLONE_NEWNS = 0x20000
const UNIFIED = "/sys/fs/cgroup/unified"
const MS_REC = 0x4000
const MS_SLAVE = 0x80000
const WNOHANG = 1
/** posix_spawn dup2s in order: what is passed must lie above every number it is passed at. */
const PASSED_MIN = 30

const posixSpawn = bind(
  "int posix_spawn(_Out_ int *pid, const char *path, void *actions, void *attributes, " +
    "const char **argv, const char **envp)",
)
const actionsInit = bind("int posix_spawn_file_actions_init(void *actions)")
const actionsDup2 = bind("int posix_spawn_file_actions_adddup2(void *actions, int from, int to)")
const actionsChdir = bind(
  "int posix_spawn_file_actions_addchdir_np(void *actions, const char *path)",
)
const actionsDestroy = bind("int posix_spawn_file_actions_destroy(void *actions)")
const attributesInit = bind("int posix_spawnattr_init(void *attributes)")
const attributesFlags = bind("int posix_spawnattr_setflags(void *attributes, short flags)")
const attributesDefault = bind("int posix_spawnattr_setsigdefault(void *attributes, void *set)")
const attributesMask = bind("int posix_spawnattr_setsigmask(void *attributes, void *set)")
const sigemptyset = bind("int sigemptyset(void *set)")
const waitpid = bind("int waitpid(int pid, _Out_ int *status, int flags)")
const pipe2 = bind("int pipe2(_Out_ int *ends, int flags)")
const fcntl = bind("int fcntl(int fd, int command, int value)")
const memfdCreate = bind("int memfd_create(const char *name, unsigned int flags)")
const unshare = bind("int unshare(int flags)")
const setns = bind("int setns(int fd, int type)")
const mount = bind(
  "int mount(const char *source, const char *target, const char *type, unsigned long flags, " +
    "const char *data)",
)

export interface Program {
  /** The whole argument vector; the first is the program's absolute path. */
  readonly argv: readonly string[]
  /** Child's descriptor number to ours. 0, 1 and 2 are /dev/null unless given. */
  readonly descriptors?: Readonly<Record<number, number>>
  readonly environment?: readonly string[]
  readonly directory?: string
  /** Start it where the machine's cgroup2 hierarchy of a hybrid layout is hidden. */
  readonly hideUnified?: boolean
}

const ENVIRONMENT = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]

/** A pipe that no child inherits unasked, its ends fit to be passed. The caller closes both. */
export const pipe = (): { readonly reader: number; readonly writer: number } => {
  const ends = [-1, -1]
  check(pipe2(ends, O_CLOEXEC), "pipe2", "")
  return { reader: raised(ends[0]!), writer: raised(ends[1]!) }
}

/** A file in memory for a child to write to, readable once it has ended. */
export const scratch = (): number => raised(check(memfdCreate("output", 1), "memfd_create", ""))

/** Moves a descriptor to 30 or above, close-on-exec. */
export const raised = (descriptor: number): number => {
  const high = fcntl(descriptor, F_DUPFD_CLOEXEC, PASSED_MIN)
  const failure = errno()
  closeSync(descriptor)
  if (high < 0) throw new Errno("fcntl", String(descriptor), failure)
  return high
}

let devNull = -1
const nothing = (): number => {
  if (devNull >= 0) return devNull
  sealInherited()
  return devNull = raised(openSync("/dev/null", "r+"))
}

/**
 * What this process was itself given beyond 0, 1 and 2 and not told to keep to itself: conmon would
 * hold it for as long as its container runs. Once, as whatever we open is close-on-exec.
 */
const sealInherited = (): void => {
  for (const name of readdirSync("/proc/self/fd")) {
    if (Number(name) > 2) fcntl(Number(name), F_SETFD, FD_CLOEXEC) // one of them is gone: no matter
  }
}

/**
 * Every signal back to its default, none blocked, a session of its own: Node ignores SIGPIPE, and a
 * container must not inherit that.
 */
const attributes = (() => {
  const POSIX_SPAWN_SETSIGDEF = 0x04
  const POSIX_SPAWN_SETSIGMASK = 0x08
  const POSIX_SPAWN_SETSID = 0x80
  const memory = Buffer.alloc(512)
  const set = Buffer.alloc(128)
  attributesInit(memory)
  attributesFlags(memory, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID)
  // Not sigfillset: that leaves out 32 and 33, which then come out ignored.
  attributesDefault(memory, set.fill(0xff))
  sigemptyset(set)
  attributesMask(memory, set)
  return memory
})()

/** Starts a program as a child; `reaped` comes once, with its wait status, when it has ended. */
export const spawn = (
  program: Program, reaped: (status: number) => void, keepsAlive = true,
): Process => {
  const pid = program.hideUnified === true
    ? withoutUnified(() => spawned(program))
    : spawned(program)
  const child = processOf(pid)
  // Ours and not yet waited for, so that it is there, be it as a zombie.
  if (child === null) throw new Error(`the child ${pid} is gone unwaited`)
  onEnd(child, () => {
    const status = [0]
    check(waitpid(pid, status, WNOHANG), "waitpid", String(pid))
    reaped(status[0]!)
  }, keepsAlive)
  return child
}

const spawned = (program: Program): number => {
  const [path = ""] = program.argv
  const descriptors = { 0: nothing(), 1: nothing(), 2: nothing(), ...program.descriptors }
  const actions = Buffer.alloc(256)
  actionsInit(actions)
  try {
    for (const [to, from] of Object.entries(descriptors)) actionsDup2(actions, from, Number(to))
    if (program.directory !== undefined) actionsChdir(actions, program.directory)
    const pid = [0]
    const environment = program.environment ?? []
    const failure = posixSpawn(pid, path, actions, attributes,
      [...program.argv, null], [...ENVIRONMENT, ...environment, null])
    if (failure !== 0) throw new Errno("posix_spawn", path, failure)
    return pid[0]!
  } finally {
    actionsDestroy(actions)
  }
}

/** The exit code of a wait status, signals as 128 + number like a shell's. wait(2). */
export const exitCodeOf = (status: number): number =>
  (status & 0x7f) === 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)

export interface Outcome {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end and keeps what it said, up to 64 KiB of each. */
export const run = (program: Program, done: (outcome: Outcome) => void): Process => {
  const stdout = scratch()
  const stderr = scratch()
  const forget = () => {
    closeSync(stdout)
    closeSync(stderr)
  }
  try {
    const descriptors = { 1: stdout, 2: stderr, ...program.descriptors }
    return spawn({ ...program, descriptors }, (status) => {
      const outcome = { exitCode: exitCodeOf(status), stdout: head(stdout), stderr: head(stderr) }
      forget()
      done(outcome)
    })
  } catch (error) {
    forget()
    throw error
  }
}

const HEAD_MAX = 65536

/** The first bytes of a file in memory, as text. */
export const head = (descriptor: number): string => {
  const bytes = Buffer.alloc(HEAD_MAX)
  return bytes.toString("utf8", 0, readSync(descriptor, bytes, 0, HEAD_MAX, 0))
}

let hostMounts = -1

/**
 * Runs `body` in a mount namespace of its own in which /sys/fs/cgroup/unified is an empty tmpfs:
 * crun refuses a hybrid cgroup layout whose cgroup2 side holds controllers. What is spawned keeps
 * the namespace; as a slave of the host's it still sees later unmounts.
 *
 * Strictly synchronous: the main thread is back before anything else can run. setns(2) to a mount
 * namespace wants a thread that shares its root and working directory with no other, hence
 * CLONE_FS, once; from then on a `chdir` of the main thread is its own.
 */
const withoutUnified = <A>(body: () => A): A => {
  if (hostMounts < 0) {
    check(unshare(CLONE_FS), "unshare", "CLONE_FS")
    hostMounts = raised(openSync("/proc/thread-self/ns/mnt", "r"))
  }
  check(unshare(CLONE_NEWNS), "unshare", "CLONE_NEWNS")
  try {
    check(mount(null, "/", null, MS_SLAVE | MS_REC, null), "mount", "/")
    check(mount("none", UNIFIED, "tmpfs", 0, null), "mount", UNIFIED)
    return body()
  } finally {
    returnToHost()
  }
}

/** A daemon left in the wrong namespace could only do harm: it ends, and another one starts. */
const returnToHost = (): void => {
  if (setns(hostMounts, CLONE_NEWNS) === 0) return
  process.stderr.write(`setns to the host's mounts: errno ${errno()}\n`)
  process.abort()
}
