import { readFileSync } from "node:fs"
import { constants } from "node:os"
import { bind, check, errno, Errno } from "./libc.ts"
import { watch } from "./reactor.ts"

/** A process, named for ever within one boot: pids are reused, start times are not. */
export interface Process {
  readonly pid: number
  /** Field 22 of /proc/<pid>/stat: clock ticks since boot. */
  readonly startTicks: number
}

// The numbers are the same on every architecture (Linux 5.1 and later).
const SYS_PIDFD_SEND_SIGNAL = 424
const SYS_PIDFD_OPEN = 434
const pidfdOpen = bind("long syscall(long number, int pid, unsigned int flags)")
const pidfdSendSignal = bind(
  "long syscall(long number, int pidfd, int signal, void *info, unsigned int flags)",
)
const close = bind("int close(int fd)")
const exit = bind("void _exit(int status)")

const ESRCH = constants.errno.ESRCH

/** When this process started, in ticks since boot; null: there is none of this pid. proc(5). */
export const startTicksOf = (pid: number): number | null => {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1")
  } catch {
    return null
  }
  // The name in field 2 may hold spaces and parentheses: count from behind the last one.
  const ticks = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19])
  return Number.isSafeInteger(ticks) ? ticks : null
}

/** The process that has this pid now; null: none. */
export const processOf = (pid: number): Process | null => {
  const startTicks = startTicksOf(pid)
  return startTicks === null ? null : { pid, startTicks }
}

/**
 * A descriptor of this very process, that no reuse of its pid can deceive; null: it is gone.
 * pidfd_open(2). The caller closes it.
 */
export const openProcess = ({ pid, startTicks }: Process): number | null => {
  const pidfd = Number(pidfdOpen(SYS_PIDFD_OPEN, pid, 0))
  if (pidfd < 0) {
    if (errno() === ESRCH) return null
    throw new Errno("pidfd_open", String(pid), errno())
  }
  if (startTicksOf(pid) === startTicks) return pidfd
  close(pidfd)
  return null
}

/** Sends a signal to this very process. True: sent; false: it is gone. pidfd_send_signal(2). */
export const signalProcess = (process: Process, signal: number): boolean => {
  const pidfd = openProcess(process)
  if (pidfd === null) return false
  try {
    const sent = pidfdSendSignal(SYS_PIDFD_SEND_SIGNAL, pidfd, signal, null, 0)
    if (sent < 0 && errno() === ESRCH) return false
    check(sent, "pidfd_send_signal", String(process.pid))
    return true
  } finally {
    close(pidfd)
  }
}

/**
 * Calls back once, in a later turn, when this very process has ended (a zombie has), or is gone
 * already. Any process can be watched, not only a child. Answers a function that gives up.
 */
export const onEnd = (process: Process, ended: () => void, keepsAlive = true): () => void => {
  const pidfd = openProcess(process)
  if (pidfd === null) {
    const turn = setImmediate(ended)
    return () => clearImmediate(turn)
  }
  let open = true
  const stop = () => {
    if (!open) return
    open = false
    watcher.close()
    close(pidfd)
  }
  const watcher = watch(pidfd, () => {
    stop()
    ended()
  }, keepsAlive)
  watcher.want(true, false)
  return stop
}

const SIGNALS_MAX = 64
const SIGRTMIN = 34 // glibc keeps 32 and 33 for itself; musl 35: Docker's table says 34

/** The number of a signal as Docker takes it: `SIGTERM`, `term`, `15`, `RTMIN+3`. Null: none. */
export const signalNumber = (signal: string): number | null => {
  if (/^\d+$/.test(signal)) {
    const number = Number(signal)
    return number >= 1 && number <= SIGNALS_MAX ? number : null
  }
  const name = signal.toUpperCase().replace(/^SIG/, "")
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name)
  if (realTime !== null) {
    const base = realTime[1] === "MIN" ? SIGRTMIN : SIGNALS_MAX
    const number = base + Number(`${realTime[2] ?? ""}${realTime[3] ?? 0}`)
    return number >= SIGRTMIN && number <= SIGNALS_MAX ? number : null
  }
  return (constants.signals as Record<string, number>)[`SIG${name}`] ?? null
}

/** This boot's name: a pid and its start time mean nothing in another. random(4). */
export const bootId = (): string => readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim()

/**
 * Ends this process at once (_exit(2)). `process.exit` waits for every thread of Node's first: for
 * ever where one is in a system call that does not return, or where V8 compiles and wants memory
 * that only the ended main thread could collect for it (nodejs/node#54918). What has to outlive the
 * process is on the disk by now, and nothing else is worth waiting for.
 */
export const exitAtOnce = (code: number): never => exit(code) as never
