import { bind } from "./libc.ts"

const libc = {
  setsockopt: bind("int setsockopt(int fd, int level, int name, const void *value, uint32_t size)"),
}

const SOL_SOCKET = 1
const SO_RCVBUF = 8
const value = Buffer.alloc(4)

/**
 * Caps what the kernel takes in for a connection ahead of its reader, and stops it from growing
 * that by itself (socket(7), SO_RCVBUF; the kernel doubles the number). Best effort.
 */
export const capReceiveBuffer = (fd: number, bytes: number): void => {
  value.writeInt32LE(bytes)
  libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, value, value.length)
}
