import { setTimeout as sleep } from "node:timers/promises"
import { docker } from "../../simulations/bench/engines/docker.ts"
import type { Daemon } from "../../simulations/bench/engines/engine.ts"
import { call } from "../api/tools.ts"
import { onTerminal } from "../e2e/terminal.ts"
import { maskValue, type Own } from "./mask.ts"
import { type Request, requestIn, type Row, type Step, type Typed, wordsOf } from "./row.ts"

/** One engine: what it is told apart by, and what both see. */
export interface Side {
  readonly daemon: Daemon
  readonly own: Own
  readonly shared: string
  /** Images by their names, without `sha256:`. */
  readonly ids: Readonly<Record<string, string>>
}

const epoch = (ms: number): string => (ms / 1000).toFixed(3)

const filled = (text: string, { shared, ids }: Side, beganMs: number): string =>
  text.replaceAll("@shared", shared)
    .replaceAll(/@(full|none)\b/g, (_, name) => ids[`${name}:1`]!.slice(0, 12))
    .replaceAll("@began", epoch(beganMs))
    .replaceAll("@now", () => epoch(Date.now()))

/** JSON where it is some: one value, or one a line; else the text. */
const parsed = (text: string): unknown => {
  const lines = text.trim().split("\n")
  for (const read of [() => JSON.parse(text), () => lines.map((line) => JSON.parse(line))]) {
    try {
      return read()
    } catch {
      // not this way
    }
  }
  return text
}

const typedAt = async (socket: string, typed: Typed, words: readonly string[]) => {
  const env = { ...process.env, DOCKER_API_VERSION: "1.41", DOCKER_CONFIG: "/nonexistent" }
  const line = ["docker", "-H", `unix://${socket}`, ...words]
  const { code, shown } = await onTerminal(line, typed, env)
  return { code, stdout: shown.replaceAll("\r\n", "\n"), stderr: "" }
}

const asked = async (socket: string, { method, path, body }: Request) => {
  const versioned = path.startsWith("/v1.") ? path : `/v1.41${path}`
  const answer = await call(socket, method, versioned, body)
  const type = String(answer.headers["content-type"] ?? "")
  return { status: answer.status, type, body: parsed(answer.text) }
}

/** The same whatever order its members come in, and its lists if that does not matter. */
const ordered = (value: unknown, lists: boolean): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (!Array.isArray(value)) {
    return Object.fromEntries(
      Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, each]) => [key, ordered(each, lists)]),
    )
  }
  const all = value.map((each) => ordered(each, lists))
  return lists ? all.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : all
}

/** Waits for a container's state, or for a word in its log. */
const waitFor = async (socket: string, [what, wanted = "", name]: readonly string[]) => {
  const seen = async (): Promise<boolean> => {
    if (what === "says") {
      const { text } = await call(socket, "GET", `/v1.41/containers/${name}/logs?stdout=1`)
      return text.includes(wanted)
    }
    const { json } = await call(socket, "GET", `/v1.41/containers/${name}/json`)
    return json.State.Status === wanted
  }
  while (!(await seen())) await sleep(50)
}

/** Does one step to one engine; answers what is to be seen of it, masked. */
export const observe = async (
  side: Side,
  row: Row,
  step: Step,
  beganMs: number,
): Promise<Readonly<Record<string, unknown>>> => {
  const line = filled(typeof step === "string" ? step : step.typed, side, beganMs)
  const { socket } = side.daemon
  const masked = (value: unknown): unknown =>
    ordered(maskValue(value, side.own, row.mask), row.anyOrder === true)
  const request = requestIn(line)
  if (request !== null) {
    return masked(await asked(socket, request)) as Readonly<Record<string, unknown>>
  }
  const words = wordsOf(line)
  if (words[0] === "until" || words[0] === "says") {
    await waitFor(socket, words)
    return {}
  }
  const seen = typeof step === "string"
    ? await docker(socket, words)
    : await typedAt(socket, step, words)
  const text = (said: string): unknown => {
    if ((row.view ?? "text") !== "text") return masked(parsed(said))
    const plain = String(masked(said))
    return row.anyOrder === true ? plain.split("\n").sort().join("\n") : plain
  }
  return { code: seen.code, stdout: text(seen.stdout), stderr: text(seen.stderr) }
}
