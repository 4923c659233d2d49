import { spawn } from "node:child_process"

/** A process of this program's own, at the other end of a channel. */
export interface Child {
  readonly pid: number
  /** Sends a message (structured clone). A message to a child that is gone is lost, quietly. */
  readonly send: (message: object) => void
  /** Closes the channel: the child has nothing more to do. */
  readonly disconnect: () => void
  /** SIGKILL. */
  readonly kill: () => void
}

export interface ChildOptions {
  readonly nodePath: string
  /** Node's flags, the entry and its arguments. */
  readonly args: readonly string[]
  /** Set beside this process's own environment. */
  readonly env: Readonly<Record<string, string>>
  readonly onMessage: (message: unknown) => void
  /** Once, after the last message: the process is gone, or could not be started. */
  readonly onEnd: (cause: string) => void
}

/**
 * Starts a process with a channel to it (Node's own, on an inherited socket pair). Its standard
 * error is this process's: what it says when it breaks belongs into the same log. Must be called on
 * the main thread, as a parent-death signal watches the thread that forked.
 */
export function startChild({ nodePath, args, env, onMessage, onEnd }: ChildOptions): Child {
  const child = spawn(nodePath, args, {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    serialization: "advanced",
    env: { ...process.env, ...env },
  })
  let exited: string | null = null
  let ended = false
  // The process may be gone before its last message has been read. (`close` cannot be used: Node
  // does not emit it where this side disconnected.)
  const end = (): void => {
    if (exited === null || child.connected || ended) return
    ended = true
    onEnd(exited)
  }
  child.on("message", onMessage)
  child.on("disconnect", end)
  child.on("exit", (code, signal) => {
    exited = signal ?? `exit code ${code}`
    end()
  })
  child.on("error", (error) => {
    if (child.pid === undefined) onEnd(error.message)
  })
  return {
    pid: child.pid ?? -1,
    send: (message) => {
      if (child.connected) child.send(message, undefined, undefined, () => {})
    },
    disconnect: () => {
      if (child.connected) child.disconnect()
    },
    kill: () => void child.kill("SIGKILL"),
  }
}
