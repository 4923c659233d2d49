import { closeSync, openSync } from "node:fs"
import { bind, check, errno, Errno, isErrno } from "./libc.ts"
import { watch, type Watcher } from "./reactor.ts"
import type { Attachment } from "./runtime.ts"
import { raised } from "./spawn.ts"

/**
 * A client of conmon's attach socket: SEQPACKET, out `[2|3][data]`, in raw stdin.
 * Source: conmon's `src/conn_sock.c`.
 */

const socket = bind("int socket(int domain, int type, int protocol)")
const connect = bind("int connect(int fd, const void *address, unsigned int length)")
const recv = bind("int64_t recv(int fd, void *bytes, size_t length, int flags)")
const send = bind("int64_t send(int fd, const void *bytes, size_t length, int flags)")
const shutdown = bind("int shutdown(int fd, int how)")

const AF_UNIX = 1
const SOCK_SEQPACKET = 5
const SOCK_NONBLOCK = 0o4000
const SOCK_CLOEXEC = 0o2000000
const O_PATH = 0o10000000
const O_CLOEXEC = 0o2000000
const SHUT_WR = 1
/** The byte that marks a packet as stderr; stdout is 2. */
const STDERR = 3
const MSG_NOSIGNAL = 0x4000
/** conmon reads 32 KiB of a packet and loses what is beyond. */
const PACKET_MAX = 32 * 1024
/** Packets taken in one turn of the loop, so that a chatty container leaves room for others. */
const TURN_MAX = 32

/** One packet as conmon sends it: a byte that names the stream, then at most 32 KiB. */
const packet = Buffer.alloc(1 + PACKET_MAX)

/**
 * Connects to `attach` in a bundle. Null: nobody listens there (yet, or any more). `closed` comes
 * once the connection's descriptor is.
 * The path goes through /proc/self/fd, as a socket's name ends at 107 bytes.
 */
export const attachTo = (bundle: string, closed: () => void): Connection | null => {
  const descriptor = connected(bundle)
  return descriptor === null ? null : new Connection(descriptor, closed)
}

const connected = (bundle: string): number | null => {
  let folder: number
  try {
    folder = openSync(bundle, O_PATH | O_CLOEXEC)
  } catch {
    return null
  }
  const descriptor = raised(
    check(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket", "attach"),
  )
  const address = Buffer.from(`\x01\x00/proc/self/fd/${folder}/attach\x00`, "latin1")
  const result = connect(descriptor, address, address.length)
  const failure = errno()
  closeSync(folder)
  if (result === 0) return descriptor
  closeSync(descriptor)
  const { code } = new Errno("connect", bundle, failure)
  if (code === "ENOENT" || code === "ECONNREFUSED") return null
  throw new Errno("connect", `${bundle}/attach`, failure)
}

/** One connection. Readiness of the socket drives it; every method may be called at any time. */
class Connection implements Attachment {
  readonly #descriptor: number
  readonly #watcher: Watcher
  readonly #closed: () => void
  readonly #queue: Buffer[] = []
  #onData: (stream: 1 | 2, data: Buffer) => boolean = () => false
  #onEnd = () => {}
  #onDrain: (() => void) | null = null
  #open = true
  #wantsRead = false
  #wantsWrite = false
  #closesStdin = false
  #packets = 0
  #packetsSeen = -1

  constructor(descriptor: number, closed: () => void) {
    this.#descriptor = descriptor
    this.#closed = closed
    this.#watcher = watch(descriptor, ({ readable, writable }) => {
      if (writable && this.#wantsWrite) this.#flush()
      if (readable && this.#wantsRead) this.#receive()
    })
  }

  read(onData: (stream: 1 | 2, data: Buffer) => boolean, onEnd: () => void): void {
    this.#onData = onData
    this.#onEnd = onEnd
    this.resume()
  }

  resume(): void {
    this.#wantsRead = true
    this.#update()
  }

  write(data: Buffer, onDrain: () => void): boolean {
    if (!this.#open || this.#closesStdin) return true
    for (let at = 0; at < data.length; at += PACKET_MAX) {
      this.#queue.push(data.subarray(at, at + PACKET_MAX))
    }
    if (!this.#wantsWrite) this.#flush()
    if (this.#queue.length === 0) return true
    this.#onDrain = onDrain
    return false
  }

  closeStdin(): void {
    if (!this.#open || this.#closesStdin) return
    this.#closesStdin = true
    if (this.#queue.length === 0) shutdown(this.#descriptor, SHUT_WR)
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#watcher.close()
    closeSync(this.#descriptor)
    this.#closed()
  }

  /** Closes if nothing was read since the last call of this: the first one only takes a mark. */
  abandonIfIdle(): void {
    if (this.#packets === this.#packetsSeen) this.#finish()
    else this.#packetsSeen = this.#packets
  }

  #finish(): void {
    if (!this.#open) return
    this.close()
    this.#onEnd()
  }

  #update(): void {
    if (this.#open) this.#watcher.want(this.#wantsRead, this.#wantsWrite)
  }

  #receive(): void {
    for (let turn = 0; turn < TURN_MAX && this.#wantsRead && this.#open; turn++) {
      const length = Number(recv(this.#descriptor, packet, packet.length, 0))
      if (length < 0 && isPassing()) break
      if (length <= 0) return this.#finish() // the end, or a reset: conmon is gone
      this.#packets++
      const data = Buffer.from(packet.subarray(1, length))
      if (!this.#onData(packet[0] === STDERR ? 2 : 1, data)) this.#wantsRead = false
    }
    this.#update()
  }

  #flush(): void {
    while (this.#queue.length > 0) {
      const bytes = this.#queue[0]!
      if (send(this.#descriptor, bytes, bytes.length, MSG_NOSIGNAL) >= 0) {
        this.#queue.shift()
        continue
      }
      this.#wantsWrite = isPassing()
      if (this.#wantsWrite) return this.#update()
      this.#queue.length = 0 // nobody takes stdin any more, as with a closed pipe
    }
    this.#wantsWrite = false
    this.#update()
    if (this.#closesStdin) shutdown(this.#descriptor, SHUT_WR)
    const drained = this.#onDrain
    this.#onDrain = null
    drained?.()
  }
}

/** Is it only that there is nothing to read, or no room to write, right now? */
const isPassing = (): boolean => isErrno("EAGAIN") || isErrno("EINTR") || isErrno("ENOBUFS")

/** Where clients of containers that are not running yet wait for their start. */
export interface Lobby {
  /** Connects now if somebody listens in this bundle, else at `admit`. Answers a way to give up. */
  readonly enter: (id: string, bundle: string, answer: Answer) => () => void
  /** Connects everybody who waits for this container. */
  readonly admit: (id: string, bundle: string) => void
  /** Sends everybody who waits for this container away. */
  readonly refuse: (id: string, cause: string) => void
  /** Closes connections to this container whose client took nothing since this was last called. */
  readonly expelIdle: (id: string) => void
}

type Answer = (result: Attachment | { readonly refused: string }) => void

export const makeLobby = (): Lobby => {
  const waiting = new Map<string, Set<Answer>>()
  const connections = new Map<string, Set<Connection>>()

  const open = (id: string, bundle: string): Connection | null => {
    const connection = attachTo(bundle, () => forget(connections, id, connection!))
    if (connection !== null) remember(connections, id, connection)
    return connection
  }
  const dismiss = (id: string): Set<Answer> => {
    const answers = waiting.get(id) ?? new Set()
    waiting.delete(id)
    return answers
  }
  return {
    enter: (id, bundle, answer) => {
      const connection = open(id, bundle)
      if (connection === null) remember(waiting, id, answer)
      else answer(connection)
      return () => forget(waiting, id, answer)
    },
    admit: (id, bundle) => {
      for (const answer of dismiss(id)) {
        answer(open(id, bundle) ?? { refused: `nobody listens for clients of ${id}` })
      }
    },
    refuse: (id, cause) => {
      for (const answer of dismiss(id)) answer({ refused: cause })
    },
    expelIdle: (id) => {
      for (const connection of connections.get(id) ?? []) connection.abandonIfIdle()
    },
  }
}

const remember = <A>(sets: Map<string, Set<A>>, id: string, value: A): void => {
  const set = sets.get(id) ?? new Set()
  sets.set(id, set.add(value))
}

const forget = <A>(sets: Map<string, Set<A>>, id: string, value: A): void => {
  const set = sets.get(id)
  if (set?.delete(value) === true && set.size === 0) sets.delete(id)
}
