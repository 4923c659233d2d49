import { closeSync } from "node:fs"
import { bind, isErrno } from "./libc.ts"

const libc = {
  socket: bind("int socket(int domain, int type, int protocol)"),
  bind: bind("int bind(int fd, const void *address, uint32_t length)"),
}

const AF_INET = 2
const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000

/**
 * Could a program on this host listen there? Tried by binding (bind(2)) and letting go at once.
 * Anything but `EADDRINUSE` and `EACCES` counts as yes: what else is wrong shows when it is used.
 */
export const isPortFree = (protocol: "tcp" | "udp", hostIp: string, port: number): boolean => {
  const fd = libc.socket(AF_INET, (protocol === "tcp" ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0)
  if (fd < 0) return true
  const address = Buffer.alloc(16)
  address.writeUInt16LE(AF_INET, 0)
  address.writeUInt16BE(port, 2)
  const bytes = hostIp === "" ? [0, 0, 0, 0] : hostIp.split(".").map(Number)
  if (bytes.length === 4) address.set(bytes, 4)
  const result = libc.bind(fd, address, address.length)
  const taken = result < 0 && (isErrno("EADDRINUSE") || isErrno("EACCES"))
  closeSync(fd)
  return !taken
}
