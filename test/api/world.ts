import { join } from "node:path"
import { afterAll, beforeAll, expect } from "vitest"
import {
  BUSYBOX_ARCHIVE,
  type Corner,
  type Engine,
  openCorner,
  whyNoEngine,
} from "../e2e/engine.ts"
import { type Answer, call, Raw } from "./tools.ts"

/** One real engine for a test file, which has a process of its own, and words to speak to it. */
export const IMAGE = "busybox:1.29"
export const why = whyNoEngine()
export const titled = (title: string): string => (why === null ? title : `${title} (${why})`)

const MAIN = join(import.meta.dirname, "../../src/main.ts")
let corner: Corner
export let engine: Engine

/** Starts an engine with busybox before the tests of this suite, and ends it after them. */
export function useEngine(): void {
  beforeAll(async () => {
    corner = await openCorner()
    engine = await corner.start({ name: "api", program: [process.execPath, MAIN, "balenad"] })
    await engine.done(["load", "-i", BUSYBOX_ARCHIVE])
  })
  afterAll(async () => {
    await corner?.[Symbol.asyncDispose]()
  })
}

export const api = (method: string, path: string, body?: unknown): Promise<Answer> =>
  call(engine.place.socket, method, path, body)

/** Creates a container without a network; answers its ID. */
export async function create(name: string, body: object = {}, host: object = {}): Promise<string> {
  const answer = await api("POST", `/containers/create?name=${name}`, {
    Image: IMAGE,
    Cmd: ["sleep", "1000"],
    ...body,
    HostConfig: { NetworkMode: "none", ...host },
  })
  expect([answer.status, answer.text]).toEqual([201, expect.any(String)])
  return answer.json.Id
}

export const sh = (script: string, more: object = {}) => ({ Cmd: ["sh", "-c", script], ...more })

export async function start(name: string): Promise<void> {
  expect((await api("POST", `/containers/${name}/start`)).status).toBe(204)
}

export const inspect = async (name: string) => (await api("GET", `/containers/${name}/json`)).json
export const stateOf = async (name: string) => (await inspect(name)).State
export const remove = (name: string): Promise<Answer> =>
  api("DELETE", `/containers/${name}?force=1`)

/** Answers the exit code. */
export const wait = async (name: string, condition = "not-running"): Promise<number> =>
  (await api("POST", `/containers/${name}/wait?condition=${condition}`)).json.StatusCode

/** The payload of frames: stdout, stderr. */
export function unframed(bytes: Buffer): [string, string] {
  const streams: [Buffer[], Buffer[]] = [[], []]
  for (let at = 0; at + 8 <= bytes.length;) {
    const length = bytes.readUInt32BE(at + 4)
    streams[bytes[at]! - 1]!.push(bytes.subarray(at + 8, at + 8 + length))
    at += 8 + length
  }
  return [Buffer.concat(streams[0]).toString(), Buffer.concat(streams[1]).toString()]
}

export const bodyOf = (received: Buffer): Buffer =>
  received.subarray(received.indexOf("\r\n\r\n") + 4)

export const UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n"

/** Attaches; returns once the engine has answered. */
export async function attach(name: string, query: string, headers = UPGRADE): Promise<Raw> {
  const raw = new Raw(engine.place.socket)
  const path = `/containers/${name}/attach?${query}`
  raw.socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`)
  await raw.sees("\r\n\r\n")
  return raw
}
