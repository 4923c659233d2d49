import { closeSync, openSync } from "node:fs"
import { bind, check, Errno } from "./libc.ts"

/*
 * Just enough rtnetlink(7) for bridges, veth pairs, addresses and routes: one request, one answer,
 * synchronously. The kernel answers within the send, so nothing here ever waits.
 */

const socket = bind("int socket(int domain, int type, int protocol)")
const send = bind("int64_t send(int fd, const void *buffer, size_t length, int flags)")
const recv = bind("int64_t recv(int fd, void *buffer, size_t length, int flags)")
const setns = bind("int setns(int fd, int type)")

const AF_NETLINK = 16
const SOCK_RAW_CLOEXEC = 3 | 0o2000000
const NETLINK_ROUTE = 0
const CLONE_NEWNET = 0x40000000

const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const NLM_F_REQUEST = 0x1
const NLM_F_ACK = 0x4
const NLM_F_DUMP = 0x300
/** Make it; fail if it is there already. */
export const NLM_F_CREATE_EXCL = 0x600

export const RTM = {
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
} as const
type Operation = keyof typeof RTM

const HEADER_BYTES = 16
/** More than the kernel puts into one datagram of a dump (32 KiB). */
const RECEIVE_BYTES = 65536

const receiveBuffer = Buffer.alloc(RECEIVE_BYTES)
let sequence = 0

/** A routing socket; it works on the network namespace in which it was opened. */
export interface Netlink {
  /**
   * Asks for one change. `subject` names it in the error; throws `Errno` with the operation as the
   * call (`RTM_NEWLINK br0: EEXIST`).
   */
  readonly request: (operation: Operation, flags: number, subject: string, body: Buffer) => void
  /** Lists: the bodies of all answers, without their headers. */
  readonly dump: (operation: Operation, body: Buffer) => readonly Buffer[]
  readonly close: () => void
}

/** Opens a routing socket on this thread's network namespace. */
export function openNetlink(): Netlink {
  const fd = check(socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_ROUTE), "socket", "netlink")
  return {
    request: (operation, flags, subject, body) => {
      exchange(fd, operation, flags | NLM_F_ACK, subject, body)
    },
    dump: (operation, body) => exchange(fd, operation, NLM_F_DUMP, "all", body),
    close: () => closeSync(fd),
  }
}

function exchange(
  fd: number,
  operation: Operation,
  flags: number,
  subject: string,
  body: Buffer,
): readonly Buffer[] {
  const wanted = sequence = (sequence + 1) >>> 0
  const message = Buffer.alloc(HEADER_BYTES + body.length)
  message.writeUInt32LE(message.length, 0)
  message.writeUInt16LE(RTM[operation], 4)
  message.writeUInt16LE(flags | NLM_F_REQUEST, 6)
  message.writeUInt32LE(wanted, 8)
  body.copy(message, HEADER_BYTES)
  check(send(fd, message, message.length, 0), "send", `RTM_${operation}`)
  const answers: Buffer[] = []
  for (;;) {
    const length = check(recv(fd, receiveBuffer, RECEIVE_BYTES, 0), "recv", `RTM_${operation}`)
    for (const { type, number, payload } of messages(receiveBuffer.subarray(0, length))) {
      if (number !== wanted) continue // what is left of an exchange that was cut short
      if (type === NLMSG_DONE) return answers
      if (type === NLMSG_ERROR) {
        const errno = -payload.readInt32LE(0)
        if (errno !== 0) throw new Errno(`RTM_${operation}`, subject, errno)
        return answers
      }
      answers.push(Buffer.from(payload))
    }
  }
}

function* messages(datagram: Buffer) {
  for (let at = 0; at + HEADER_BYTES <= datagram.length;) {
    const length = datagram.readUInt32LE(at)
    yield {
      type: datagram.readUInt16LE(at + 4),
      number: datagram.readUInt32LE(at + 8),
      payload: datagram.subarray(at + HEADER_BYTES, at + length),
    }
    at += align(length)
  }
}

const align = (length: number): number => (length + 3) & ~3

/** An attribute: 16 bits of length, 16 of type, the value, padded to 4 bytes. */
export function attribute(type: number, ...values: readonly Buffer[]): Buffer {
  const length = values.reduce((sum, value) => sum + value.length, 4)
  const buffer = Buffer.alloc(align(length))
  buffer.writeUInt16LE(length, 0)
  buffer.writeUInt16LE(type, 2)
  let at = 4
  for (const value of values) at += value.copy(buffer, at)
  return buffer
}

/** The attributes in a buffer, by type; of a type that comes twice, the last. */
export function attributes(buffer: Buffer): ReadonlyMap<number, Buffer> {
  const found = new Map<number, Buffer>()
  for (let at = 0; at + 4 <= buffer.length;) {
    const length = buffer.readUInt16LE(at)
    if (length < 4) break
    // The two upper bits say "nested" and "network byte order".
    found.set(buffer.readUInt16LE(at + 2) & 0x3fff, buffer.subarray(at + 4, at + length))
    at += align(length)
  }
  return found
}

/** A C string as an attribute's value. */
export const text = (value: string): Buffer => Buffer.from(`${value}\0`)

/** A C string read back. */
export const textOf = (value: Buffer | undefined): string =>
  value?.subarray(0, Math.max(value.indexOf(0), 0)).toString() ?? ""

export const unsigned32 = (value: number): Buffer => {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32LE(value)
  return buffer
}

/** `10.0.0.1` in network byte order. */
export const ipv4 = (address: string): Buffer => Buffer.from(address.split(".").map(Number))

/** `02:42:…` in bytes. */
export const macBytes = (mac: string): Buffer => Buffer.from(mac.replaceAll(":", ""), "hex")

/** This daemon's own network namespace: kept open, as the way back from every other. */
let ownNamespace: number | null = null

/**
 * Opens a routing socket inside another network namespace. Only the opening happens there: the
 * thread is back before anything else can run. A thread that could not come back would work on a
 * container's network from then on, so that ends the process.
 */
export function openNetlinkIn(namespace: number): Netlink {
  ownNamespace ??= openSync("/proc/thread-self/ns/net", "r")
  check(setns(namespace, CLONE_NEWNET), "setns", "network namespace")
  try {
    return openNetlink()
  } finally {
    if (setns(ownNamespace, CLONE_NEWNET) < 0) process.abort()
  }
}
