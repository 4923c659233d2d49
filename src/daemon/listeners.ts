import * as Effect from "effect/Effect"
import { type Listener, ListenFault } from "../api/server.ts"
import { clearSocket, shareSocket } from "../kernel/socket-files.ts"
import { type Host, listenFds, type Settings } from "../settings.ts"

/** Groups whose members may use the socket: the first of them that exists. */
const socketGroups = (settings: Settings) => [settings.group, "balena-engine", "docker"]

/** A step on the file system whose refusal keeps a socket from being served. */
const filed = (name: string, step: () => void) =>
  Effect.try({ try: step, catch: (error) => new ListenFault({ name, cause: String(error) }) })

/**
 * Where the API is to listen: paths and ports of the settings, and systemd's sockets among them.
 */
export const listenersOf = (settings: Settings): Listener[] =>
  settings.hosts.flatMap((host: Host): Listener[] => {
    if (host.kind === "fd") {
      return listenFds(process.env, process.pid)
        .filter(({ name, fd }) =>
          host.name === "" || host.name === name || host.name === String(fd))
        .map(({ fd }) => ({ name: `fd://${fd}`, listen: { fd } }))
    }
    if (host.kind === "tcp") {
      const name = `tcp://${host.host}:${host.port}`
      return [{ name, listen: { host: host.host, port: host.port } }]
    }
    const name = `unix://${host.path}`
    return [{
      name,
      listen: { path: host.path },
      before: filed(name, () => clearSocket(host.path)),
      bound: filed(name, () => shareSocket(host.path, socketGroups(settings))),
    }]
  })
