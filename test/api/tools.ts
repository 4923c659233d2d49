import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { request } from "node:http"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Route } from "../../src/api/route.ts"
import { serve } from "../../src/api/server.ts"

/** A server on a socket of its own, in a directory of its own. */
export async function served(routes: readonly Route<never>[]) {
  const directory = mkdtempSync(join(tmpdir(), `be${randomBytes(3).toString("hex")}-`))
  const path = join(directory, "engine.sock")
  const scope = Scope.makeUnsafe()
  await Effect.runPromise(
    Scope.provide(serve(routes, [{ name: path, listen: { path } }]), scope),
  )
  const stop = async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    rmSync(directory, { recursive: true })
  }
  return { path, stop }
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  readonly json: any
}

/** One request over a unix socket. */
export const call = (
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body)
    const type = text === undefined ? null : { "content-type": "application/json" }
    const options = { socketPath, method, path, headers: { ...type, ...headers } }
    const sent = request(options, (answer) => {
      let text = ""
      answer.setEncoding("utf8")
      answer.on("data", (chunk) => (text += chunk))
      answer.on("error", reject)
      answer.on("end", () =>
        resolve({
          status: answer.statusCode!,
          headers: answer.headers,
          text,
          get json() {
            return JSON.parse(text)
          },
        }))
    })
    sent.on("error", reject)
    sent.end(text)
  })

/** A connection on which a test speaks byte for byte. */
export class Raw {
  readonly socket: Socket
  received = Buffer.alloc(0)
  ended = false
  #wake: (() => void)[] = []
  constructor(path: string) {
    this.socket = connect({ path, allowHalfOpen: true })
    this.socket.on("data", (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk])
      this.#woken()
    })
    this.socket.on("end", () => {
      this.ended = true
      this.#woken()
    })
    this.socket.on("error", () => this.#woken())
  }
  #woken() {
    for (const wake of this.#wake.splice(0)) wake()
  }
  async until(ready: () => boolean): Promise<void> {
    while (!ready()) await new Promise<void>((resolve) => this.#wake.push(resolve))
  }
  /** Waits until `text` has come; answers all that has. */
  async sees(text: string): Promise<string> {
    await this.until(() => this.received.includes(text))
    return this.received.toString()
  }
  async end(): Promise<string> {
    await this.until(() => this.ended)
    return this.received.toString()
  }
}
