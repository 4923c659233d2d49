import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"

/**
 * A link between a client and a registry on loopback: slow, late, cut, silent or gone, as told. It
 * knows nothing of HTTP, so any registry may stand behind it. Everything that it does a real link
 * does, too; what a client has not asked for it never makes up.
 */
export interface LinkOptions {
  /** `127.0.0.1:5000`: who is at the other end. */
  readonly to: string
  /** For all connections together; Infinity: as fast as it goes. */
  readonly bytesPerS?: number
  /** Which way is slow, and counted: to the client, as for pulls, or to the registry. */
  readonly way?: "down" | "up"
  readonly latencyMs?: number
}

export class BadLink {
  /** What stands before the first slash of a reference that goes through this link. */
  readonly host: string
  readonly #server: Server
  readonly #to: { readonly host: string; readonly port: number }
  readonly #pairs = new Set<readonly [client: Socket, server: Socket]>()
  readonly #way: "down" | "up"
  #bytesPerS: number
  #latencyMs: number
  #down = false
  #silent = Promise.withResolvers<void>()
  /** When the link is free again, in ms of `performance.now`. */
  #freeAtMs = 0
  #bytes = 0
  /** Cut everything when this many bytes have passed. */
  #cutAt = Infinity

  private constructor(server: Server, options: LinkOptions) {
    const { to, bytesPerS = Infinity, latencyMs = 0, way = "down" } = options
    const [host = "", port = ""] = to.split(":")
    this.#to = { host, port: Number(port) }
    this.#server = server
    this.#way = way
    this.#bytesPerS = bytesPerS
    this.#latencyMs = latencyMs
    this.#silent.resolve()
    this.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on("connection", (client) => this.#join(client))
  }

  static async start(options: LinkOptions): Promise<BadLink> {
    const server = createServer({ allowHalfOpen: true })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    return new BadLink(server, options)
  }

  async close(): Promise<void> {
    this.cut()
    this.#silent.resolve()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** Bytes that have passed the counted way, over all connections. */
  get bytes(): number {
    return this.#bytes
  }

  slow(bytesPerS: number): void {
    this.#bytesPerS = bytesPerS
  }

  delay(latencyMs: number): void {
    this.#latencyMs = latencyMs
  }

  /** Breaks every connection. New ones are welcome. */
  cut(): void {
    for (const [client, server] of this.#pairs) {
      reset(client)
      server.destroy()
    }
  }

  /** Breaks every connection once so many more bytes have passed. */
  cutAfter(bytes: number): void {
    this.#cutAt = this.#bytes + bytes
  }

  /** Nothing passes any more, and nobody is told: as when a cable is pulled. */
  silence(): void {
    this.#silent = Promise.withResolvers()
  }

  /** Connections are refused from now on, and the present ones break. */
  down(): void {
    this.#down = true
    this.cut()
  }

  /** All is well again. */
  up(): void {
    this.#down = false
    this.#cutAt = Infinity
    this.#silent.resolve()
  }

  #join(client: Socket): void {
    client.on("error", () => {})
    if (this.#down) return reset(client)
    const server = connect({ ...this.#to, allowHalfOpen: true })
    server.on("error", () => reset(client))
    const pair = [client, server] as const
    this.#pairs.add(pair)
    client.on("close", () => {
      this.#pairs.delete(pair)
      server.destroy()
    })
    void this.#carry(client, server, this.#way === "up")
    void this.#carry(server, client, this.#way === "down")
  }

  async #carry(from: Socket, to: Socket, isCounted: boolean): Promise<void> {
    try {
      for await (const piece of from as AsyncIterable<Buffer>) {
        await this.#silent.promise
        if (isCounted) await this.#pace(piece.length)
        if (this.#bytes >= this.#cutAt) {
          this.#cutAt = Infinity
          return this.cut()
        }
        if (!to.write(piece)) await drained(to)
        if (isCounted) this.#bytes += piece.length
      }
      await this.#silent.promise
      to.end()
    } catch {
      to.destroy()
    }
  }

  /** Waits until a piece would have come through. */
  async #pace(bytes: number): Promise<void> {
    const nowMs = performance.now()
    this.#freeAtMs = Math.max(nowMs, this.#freeAtMs) + 1000 * bytes / this.#bytesPerS
    const waitMs = this.#freeAtMs - nowMs + this.#latencyMs
    if (waitMs >= 1) await sleep(waitMs)
  }
}

/**
 * Breaks a connection. One whose end is already on its way cannot be reset: Node would take the
 * refusal for a success, never close it, and wait for it for ever when the program ends.
 */
const reset = (socket: Socket): void => {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

/** Resolves once a socket takes more, or never will. */
const drained = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      socket.off("drain", done)
      socket.off("close", done)
      resolve()
    }
    socket.on("drain", done)
    socket.on("close", done)
  })
