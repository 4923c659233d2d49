import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { Transform } from "node:stream"
import { pipeline } from "node:stream/promises"

/** A reverse proxy before a registry that counts the bytes of blobs it sends. */
export interface Gate extends AsyncDisposable {
  readonly host: string
  /** Bytes of blobs handed to clients' connections since the last `reset`. */
  readonly sent: () => number
  readonly reset: () => void
}

export interface GateOptions {
  /** Bytes a second, over all connections together; default: as fast as it goes. */
  readonly rate?: number
}

/** Opens a gate on a free port of loopback before `target`, as in `127.0.0.1:5000`. */
export const openGate = async (
  target: string, { rate = Infinity }: GateOptions = {},
): Promise<Gate> => {
  let sent = 0
  let dueMs = 0 // when the next byte may go
  const counted = () =>
    new Transform({
      highWaterMark: 65_536,
      transform(chunk: Buffer, _, done) {
        sent += chunk.length
        dueMs = Math.max(dueMs, performance.now()) + (chunk.length / rate) * 1000
        const waitMs = dueMs - performance.now()
        if (waitMs < 5) done(null, chunk)
        else setTimeout(done, waitMs, null, chunk)
      },
    })
  const server = createServer((asked, answer) => {
    const isBlob = asked.method === "GET" && /\/blobs\/sha256:/.test(asked.url ?? "")
    forward(target, asked, answer, isBlob ? counted() : null)
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    sent: () => sent,
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
  body: Transform | null,
): void => {
  const [hostname, port] = target.split(":")
  const { method, url: path, headers } = asked
  const onward = request({ hostname, port, method, path, headers }, (got) => {
    answer.writeHead(got.statusCode ?? 502, got.headers)
    const passed = body === null ? pipeline(got, answer) : pipeline(got, body, answer)
    passed.catch(() => answer.destroy()) // the client went away, as after a power cut
  })
  onward.on("error", () => answer.destroy())
  answer.on("close", () => onward.destroy())
  asked.pipe(onward)
}
