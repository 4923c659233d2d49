import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { mkdir, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { cacheFolder } from "./cache.ts"
import { needs } from "./command.ts"

/** A registry that runs: Debian's docker-registry (the reference implementation) on loopback. */
export interface Distribution extends AsyncDisposable {
  /** `127.0.0.1:40123` */
  readonly host: string
  readonly pid: number
}

/** A TCP port of loopback that was free a moment ago. */
export const freePort = async (): Promise<number> => {
  const server = createServer()
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  if (address === null || typeof address === "string") throw new Error("no port")
  return address.port
}

export interface DistributionOptions {
  /** Where it keeps what is pushed. Default: the image cache, so that it is there the next time. */
  readonly storage?: string
  /** Lines of `user:bcrypt`, as htpasswd(1) writes them: who may enter, by Basic auth. */
  readonly users?: string
}

/** Starts docker-registry on a free port of loopback. */
export const startDistribution = async (
  scratch: string,
  options: DistributionOptions = {},
): Promise<Distribution> => {
  await needs("docker-registry", "docker-registry")
  const storage = options.storage ?? await cacheFolder("registry")
  const host = `127.0.0.1:${await freePort()}`
  const config = join(scratch, "registry.json")
  await mkdir(scratch, { recursive: true })
  const path = join(scratch, "users")
  if (options.users !== undefined) await writeFile(path, options.users)
  await writeFile(config, JSON.stringify({
    version: 0.1,
    log: { level: "error", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: storage }, delete: { enabled: false } },
    http: { addr: host },
    ...(options.users !== undefined && { auth: { htpasswd: { realm: "registry", path } } }),
  }))
  const child = spawn("docker-registry", ["serve", config], { stdio: ["ignore", "ignore", "pipe"] })
  let said = ""
  child.stderr.on("data", (data: Buffer) => (said = (said + data).slice(-2000)))
  await answering(host, child, () => said)
  return {
    host,
    pid: child.pid ?? 0,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill("SIGKILL")
      await once(child, "exit")
    },
  }
}

const answering = async (host: string, child: ChildProcess, said: () => string): Promise<void> => {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`docker-registry ended: ${said()}`)
    const answer = await fetch(`http://${host}/v2/`).catch(() => null)
    if (answer?.status === 200 || answer?.status === 401) return
    await sleep(20)
  }
}
