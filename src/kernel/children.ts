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
  let ended = false
  const end = (cause: string): void => {
    if (ended) return
    ended = true
    onEnd(cause)
  }
  child.on("message", onMessage)
  // `close` comes after `exit`, when the channel has been read to its end.
  child.on("close", (code, signal) => end(signal === null ? `exit code ${code}` : signal))
  child.on("error", (error) => {
    if (child.pid === undefined) end(error.message)
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
