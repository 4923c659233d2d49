import { closeSync, openSync } from "node:fs"
import { bind, check, errno, Errno } from "./libc.ts"
import { watch } from "./reactor.ts"
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
export const attachTo = (bundle: string, closed: () => void): Attachment | null => {
  const descriptor = connected(bundle)
  return descriptor === null ? null : attachment(descriptor, closed)
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

const attachment = (descriptor: number, closed: () => void): Attachment => {
  let onData: ((stream: 1 | 2, data: Buffer) => boolean) | null = null
  let onEnd = () => {}
  let onDrain: (() => void) | null = null
  const queue: Buffer[] = []
  let wantsRead = false
  let wantsWrite = false
  let closing = false // stdin is to be half-closed once the queue is empty
  let open = true

  const update = () => watcher.want(wantsRead, wantsWrite)
  const close = () => {
    if (!open) return
    open = false
    watcher.close()
    closeSync(descriptor)
    closed()
  }
  const receive = () => {
    for (let turn = 0; turn < TURN_MAX && wantsRead && open; turn++) {
      const length = Number(recv(descriptor, packet, packet.length, 0))
      if (length > 0) {
        if (!onData!(packet[0] === 3 ? 2 : 1, Buffer.from(packet.subarray(1, length)))) wantsRead = false
        continue
      }
      if (length < 0 && isPassing()) break
      close() // the end, or a reset: conmon is gone
      onEnd()
      return
    }
    if (open) update()
  }
  const flush = () => {
    while (queue.length > 0 && open) {
      const bytes = queue[0]!
      if (send(descriptor, bytes, bytes.length, MSG_NOSIGNAL) < 0) {
        wantsWrite = isPassing()
        if (wantsWrite) return update()
        queue.length = 0 // nobody takes stdin any more: that is no error, as with a closed pipe
        break
      }
      queue.shift()
    }
    wantsWrite = false
    if (!open) return
    if (closing) shutdown(descriptor, SHUT_WR)
    update()
    const drained = onDrain
    onDrain = null
    drained?.()
  }
  const watcher = watch(descriptor, ({ readable, writable }) => {
    if (writable && wantsWrite) flush()
    if (readable && wantsRead) receive()
  })

  return {
    read: (data, end) => {
      onData = data
      onEnd = end
      wantsRead = true
      if (open) update()
    },
    resume: () => {
      if (onData === null) return
      wantsRead = true
      if (open) update()
    },
    write: (data, drain) => {
      if (!open || closing) return true
      for (let at = 0; at < data.length; at += PACKET_MAX) queue.push(data.subarray(at, at + PACKET_MAX))
      if (!wantsWrite) flush()
      if (queue.length === 0) return true
      onDrain = drain
      return false
    },
    closeStdin: () => {
      if (!open || closing) return
      closing = true
      if (queue.length === 0) shutdown(descriptor, SHUT_WR)
    },
    close,
  }
}

const isPassing = (): boolean => {
  const { code } = new Errno("socket", "attach", errno())
  return code === "EAGAIN" || code === "EINTR" || code === "ENOBUFS"
}

/** Where clients of containers that are not running yet wait for their start. */
export interface Lobby {
  /** Connects now if somebody listens in this bundle, else at the next `admit`. Answers a way to give up. */
  readonly enter: (id: string, bundle: string, answer: Answer) => () => void
  /** Connects everybody who waits for this container. */
  readonly admit: (id: string, bundle: string) => void
  /** Sends everybody who waits for this container away. */
  readonly refuse: (id: string, cause: string) => void
  /** Closes every connection to this container. */
  readonly release: (id: string) => void
}

type Answer = (result: Attachment | { readonly refused: string }) => void

export const makeLobby = (): Lobby => {
  const waiting = new Map<string, Set<Answer>>()
  const connections = new Map<string, Set<Attachment>>()

  const connect = (id: string, bundle: string): Attachment | null => {
    const attachment = attachTo(bundle, () => forget(connections, id, attachment!))
    if (attachment !== null) remember(connections, id, attachment)
    return attachment
  }
  const dismiss = (id: string): Set<Answer> => {
    const answers = waiting.get(id) ?? new Set()
    waiting.delete(id)
    return answers
  }
  return {
    enter: (id, bundle, answer) => {
      const attachment = connect(id, bundle)
      if (attachment === null) remember(waiting, id, answer)
      else answer(attachment)
      return () => forget(waiting, id, answer)
    },
    admit: (id, bundle) => {
      for (const answer of dismiss(id)) {
        answer(connect(id, bundle) ?? { refused: `nobody listens for clients of ${id}` })
      }
    },
    refuse: (id, cause) => {
      for (const answer of dismiss(id)) answer({ refused: cause })
    },
    release: (id) => {
      for (const attachment of connections.get(id) ?? []) attachment.close()
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
