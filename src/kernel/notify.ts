import { closeSync } from "node:fs"
import { bind } from "./libc.ts"

const libc = {
  socket: bind("int socket(int domain, int type, int protocol)"),
  sendto: bind(
    "int64_t sendto(int fd, const void *data, size_t n, int flags, const void *to, uint32_t size)",
  ),
}

const AF_UNIX = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000
const ADDRESS_MAX = 108

/**
 * Tells the service manager something (`READY=1`, `STOPPING=1`), if there is one: sd_notify(3).
 * A path that begins with `@` is an abstract socket.
 */
export const notify = (state: string, path = process.env["NOTIFY_SOCKET"]): void => {
  if (path === undefined || path === "" || Buffer.byteLength(path) > ADDRESS_MAX - 1) return
  const address = Buffer.alloc(2 + Buffer.byteLength(path))
  address.writeUInt16LE(AF_UNIX)
  address.write(path, 2)
  if (path.startsWith("@")) address[2] = 0
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  if (fd < 0) return
  const data = Buffer.from(state)
  libc.sendto(fd, data, data.length, 0, address, address.length)
  closeSync(fd)
}

/**
 * How often the service manager wants to hear `WATCHDOG=1`, in milliseconds: half of what it waits
 * for. Null: it does not watch this process. sd_watchdog_enabled(3).
 */
export const watchdogMs = (
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): number | null => {
  const waitsUs = Number(env["WATCHDOG_USEC"] ?? NaN)
  const watched = env["WATCHDOG_PID"] ?? String(pid)
  return waitsUs > 0 && watched === String(pid) ? waitsUs / 1000 / 2 : null
}
