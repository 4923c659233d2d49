import { demultiplexer, type Client, type Hijacked } from "../api/client.ts"

/** Ctrl-P, Ctrl-Q: leaves a container's terminal without ending anything. */
const DETACH = Buffer.from([0x10, 0x11])

export interface Wanted {
  readonly stdin: boolean
  readonly tty: boolean
}

/**
 * Joins this process's streams to a container's until the container's end or the detach keys.
 * Output waits for the terminal (or pipe) behind it: nothing is kept in memory.
 */
export async function join(
  { socket, head, multiplexed }: Hijacked,
  { stdin, tty }: Wanted,
): Promise<"ended" | "detached"> {
  const ended = new Promise<"ended" | "detached">((resolve, reject) => {
    socket.on("end", () => resolve("ended"))
    socket.on("close", () => resolve("ended"))
    socket.on("error", reject)
    if (stdin) feed(socket, tty, () => resolve("detached"))
  })
  const write = (stream: number, data: Buffer) => {
    const out = stream === 2 ? process.stderr : process.stdout
    if (out.write(data)) return
    socket.pause()
    out.once("drain", () => socket.resume())
  }
  const framed = multiplexed || !tty
  const onData = framed ? demultiplexer(write) : (data: Buffer) => write(1, data)
  if (head.length > 0) onData(head)
  socket.on("data", onData)
  try {
    return await ended
  } finally {
    release()
    socket.destroy()
  }
}

function feed(socket: Hijacked["socket"], tty: boolean, detach: () => void): void {
  if (tty && process.stdin.isTTY) process.stdin.setRawMode(true)
  let held = false
  process.stdin.on("data", (data: Buffer) => {
    const keys = held ? Buffer.concat([DETACH.subarray(0, 1), data]) : data
    held = false
    if (tty && keys.includes(DETACH)) {
      detach()
      return
    }
    // Ctrl-P alone may be the first half: it goes with what comes next.
    held = tty && keys.at(-1) === DETACH[0]
    const rest = held ? keys.subarray(0, -1) : keys
    if (rest.length > 0 && !socket.write(rest)) {
      process.stdin.pause()
      socket.once("drain", () => process.stdin.resume())
    }
  })
  process.stdin.on("end", () => socket.end())
}

/** Gives the terminal back as it was. */
function release(): void {
  if (process.stdin.isTTY) process.stdin.setRawMode(false)
  process.stdin.removeAllListeners("data").removeAllListeners("end").pause()
}

/** Keeps a container's terminal as large as this one, from now on. */
export async function keepSize(client: Client, id: string): Promise<void> {
  const resize = async () => {
    const { rows: h, columns: w } = process.stdout
    // The process may have ended: its size then no longer matters.
    await client.json("POST", `/containers/${id}/resize`, { query: { h, w } }).catch(() => null)
  }
  if (!process.stdout.isTTY) return
  process.stdout.on("resize", () => void resize())
  await resize()
}

const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const

/**
 * Passes the signals this process gets on to a container's, those that come too early once it has
 * `started`; answers how to stop that.
 */
export function forwardSignals(
  client: Client,
  id: string,
  started: Promise<unknown>,
): () => void {
  const forward = (signal: NodeJS.Signals) => {
    const path = `/containers/${id}/kill`
    started.then(() => client.json("POST", path, { query: { signal } })).catch(() => null)
  }
  for (const signal of FORWARDED) process.on(signal, forward)
  return () => {
    for (const signal of FORWARDED) process.off(signal, forward)
  }
}
