import { closeSync, readFileSync } from "node:fs"
import { bind, check, Errno } from "./libc.ts"
import { ipv4 } from "./netlink.ts"

/*
 * Is a port of the host free? dockerd finds out by having a proxy listen there; here nothing has to
 * listen, so a socket is bound and closed again.
 */

const socket = bind("int socket(int domain, int type, int protocol)")
const bindSocket = bind("int bind(int fd, const void *address, uint32_t length)")
const setsockopt = bind(
  "int setsockopt(int fd, int level, int name, const void *value, uint32_t size)",
)

const AF_INET = 2
const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000
const SOL_SOCKET = 1
const SO_REUSEADDR = 2
const ON = Buffer.from([1, 0, 0, 0])

/** struct sockaddr_in: ip(7). */
function socketAddress(address: string, port: number): Buffer {
  const buffer = Buffer.alloc(16)
  buffer.writeUInt16LE(AF_INET, 0)
  buffer.writeUInt16BE(port, 2)
  ipv4(address).copy(buffer, 4)
  return buffer
}

/**
 * Could a program listen on this port of this address (empty: on all)? An address that the host
 * has not got is not free either: nothing would ever come that way.
 */
export function isPortFree(protocol: "tcp" | "udp", hostIp: string, port: number): boolean {
  const type = protocol === "tcp" ? SOCK_STREAM : SOCK_DGRAM
  const fd = check(socket(AF_INET, type | SOCK_CLOEXEC, 0), "socket", protocol)
  try {
    if (protocol === "tcp") {
      // Connections that are only being forgotten (TIME_WAIT) do not count. For UDP it would mean
      // sharing the port with whoever has it.
      check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, ON, ON.length), "setsockopt", "SO_REUSEADDR")
    }
    const address = socketAddress(hostIp === "" ? "0.0.0.0" : hostIp, port)
    check(bindSocket(fd, address, address.length), "bind", `${hostIp}:${port}`)
    return true
  } catch (error) {
    if (error instanceof Errno && ["EADDRINUSE", "EADDRNOTAVAIL"].includes(error.code)) return false
    throw error
  } finally {
    closeSync(fd)
  }
}

/** The kernel's range for ports of no one's choice, as it writes it: `32768	60999`. */
export const localPortRange = (): string =>
  readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8")
