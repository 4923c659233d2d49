import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { Transform } from "node:stream"
import { pipeline } from "node:stream/promises"
import { setTimeout as sleep } from "node:timers/promises"

/** A reverse proxy before a registry that counts the bytes of blobs it sends and takes. */
export interface Gate extends AsyncDisposable {
  readonly host: string
  /** Bytes of blobs handed to clients' connections since the last `reset`. */
  readonly sent: () => number
  /** Bytes of blobs that clients have sent. */
  readonly taken: () => number
  readonly reset: () => void
}

export interface GateOptions {
  /** Bytes a second, over all connections together; default: as fast as it goes. */
  readonly rate?: number
}

/** Opens a gate on a free port of loopback before `target`, as in `127.0.0.1:5000`. */
export const openGate = async (
  target: string,
  { rate = Infinity }: GateOptions = {},
): Promise<Gate> => {
  let sent = 0
  let taken = 0
  let dueMs = 0 // when the next byte may go
  const counted = (count: (bytes: number) => void) =>
    new Transform({
      highWaterMark: 65_536,
      transform(chunk: Buffer, _, done) {
        count(chunk.length)
        dueMs = Math.max(dueMs, performance.now()) + (chunk.length / rate) * 1000
        const waitMs = dueMs - performance.now()
        if (waitMs < 5) done(null, chunk)
        else void sleep(waitMs).then(() => done(null, chunk))
      },
    })
  const server = createServer((asked, answer) => {
    const { method = "", url = "" } = asked
    const isSent = method === "GET" && url.includes("/blobs/sha256:")
    const isTaken = ["PATCH", "PUT"].includes(method) && url.includes("/blobs/uploads/")
    forward(target, asked, answer, {
      down: isSent ? counted((bytes) => (sent += bytes)) : null,
      up: isTaken ? counted((bytes) => (taken += bytes)) : null,
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    sent: () => sent,
    taken: () => taken,
    reset: () => (sent = 0),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, "close")
    },
  }
}

const forward = (
  target: string,
  asked: IncomingMessage,
  answer: ServerResponse,
  { down, up }: { readonly down: Transform | null; readonly up: Transform | null },
): void => {
  const [hostname, port] = target.split(":")
  const { method, url: path, headers } = asked
  const onward = request({ hostname, port, method, path, headers }, (got) => {
    answer.writeHead(got.statusCode ?? 502, got.headers)
    const passed = down === null ? pipeline(got, answer) : pipeline(got, down, answer)
    passed.catch(() => answer.destroy()) // the client went away, as after a power cut
  })
  onward.on("error", () => answer.destroy())
  answer.on("close", () => onward.destroy())
  if (up === null) asked.pipe(onward)
  else pipeline(asked, up, onward).catch(() => answer.destroy())
}
