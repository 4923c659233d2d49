import { ClientError, demultiplexer, type Client } from "../api/client.ts"
import { count, flag, lettered, parse } from "./argv.ts"
import { exitOf } from "./run.ts"
import { forwardSignals, join, keepSize } from "./session.ts"
import { ago, fill, shortId, size, table } from "./text.ts"

/** A row of `GET /containers/json`. */
interface Listed {
  readonly Id: string
  readonly Image: string
  readonly Command: string
  /** Seconds since 1970. */
  readonly Created: number
  readonly Status: string
  readonly State: string
  readonly Names: readonly string[]
  readonly Labels: Readonly<Record<string, string>> | null
  readonly SizeRw?: number
  readonly Ports: readonly Port[]
}
interface Port {
  readonly IP?: string
  readonly PrivatePort: number
  readonly PublicPort?: number
  readonly Type: string
}

const COMMAND_WIDTH = 20

const portText = ({ IP, PrivatePort, PublicPort, Type }: Port): string =>
  PublicPort === undefined
    ? `${PrivatePort}/${Type}`
    : `${IP?.includes(":") ? `[${IP}]` : (IP ?? "")}:${PublicPort}->${PrivatePort}/${Type}`

/** Filters of the command line, `key=value`, as the API wants them. */
export function filters(words: readonly string[]): string | undefined {
  const table: Record<string, string[]> = {}
  for (const word of words) {
    const at = word.indexOf("=")
    if (at < 0) throw new ClientError(`invalid argument "${word}" for "--filter": key=value`, 0)
    const name = word.slice(0, at)
    table[name] = [...(table[name] ?? []), word.slice(at + 1)]
  }
  return words.length === 0 ? undefined : JSON.stringify(table)
}

/** `balena ps`. */
export async function ps(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, {
    all: lettered("a", flag.on),
    filter: lettered("f", flag.list),
    format: flag.text,
    last: lettered("n", flag.text),
    latest: lettered("l", flag.on),
    "no-trunc": flag.on,
    quiet: lettered("q", flag.on),
    size: lettered("s", flag.on),
  } as const)
  count(rest, 0, 0)
  const limit = given.latest ? 1 : given.last
  const listed = await client.json<readonly Listed[]>("GET", "/containers/json", {
    query: {
      all: given.all || limit !== undefined ? 1 : undefined,
      limit,
      size: given.size ? 1 : undefined,
      filters: filters(given.filter),
    },
  })
  const id = (row: Listed) => (given["no-trunc"] ? row.Id : shortId(row.Id))
  if (given.quiet) process.stdout.write(listed.map((row) => `${id(row)}\n`).join(""))
  else if (given.format !== undefined) {
    const template = given.format
    const line = (row: Listed) => `${fill(template, fieldsOf(row, id(row), given["no-trunc"]))}\n`
    process.stdout.write(listed.map(line).join(""))
  } else process.stdout.write(table(rowsOf(listed, id, given["no-trunc"], given.size)))
  return 0
}

/** What a `--format` of `ps` can name. */
function fieldsOf(row: Listed, id: string, whole: boolean) {
  const quoted = `"${row.Command}"`
  const long = quoted.length > COMMAND_WIDTH && !whole
  return {
    ID: id,
    Image: row.Image,
    Command: long ? `${quoted.slice(0, COMMAND_WIDTH - 1)}…` : quoted,
    RunningFor: ago(row.Created),
    CreatedAt: new Date(row.Created * 1000).toISOString(),
    Status: row.Status,
    State: row.State,
    Ports: row.Ports.map(portText).join(", "),
    Names: row.Names.map((name) => name.replace(/^\//, "")).join(","),
    Labels: Object.entries(row.Labels ?? {}).map((pair) => pair.join("=")).join(","),
    Size: size(row.SizeRw ?? 0),
  }
}

function rowsOf(
  listed: readonly Listed[],
  id: (row: Listed) => string,
  whole: boolean,
  sized: boolean,
): string[][] {
  const head = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
  const rows = listed.map((row) => {
    const it = fieldsOf(row, id(row), whole)
    const cells = [it.ID, it.Image, it.Command, it.RunningFor, it.Status, it.Ports, it.Names]
    return sized ? [...cells, it.Size] : cells
  })
  return [sized ? [...head, "SIZE"] : head, ...rows]
}

/** Carries something out on each name in turn; every fault is said, and the code is 1 then. */
export async function onEach(
  names: readonly string[],
  work: (name: string) => Promise<string | undefined>,
): Promise<number> {
  let code = 0
  for (const name of names) {
    try {
      process.stdout.write(`${(await work(name)) ?? name}\n`)
    } catch (error) {
      if (!(error instanceof ClientError) || error.status === 0) throw error
      process.stderr.write(`${error.message}\n`)
      code = 1
    }
  }
  return code
}

const encode = encodeURIComponent

/** A command that posts one verb to each container named: `stop`, `kill`, `pause`, … */
const verb = (name: string, takes: { readonly [Flag in "time" | "signal"]?: string } = {}) =>
  async (client: Client, words: readonly string[]): Promise<number> => {
    const { given, rest } = parse(words, {
      ...(takes.time && { time: { ...lettered("t", flag.text), alias: "timeout" } }),
      ...(takes.signal && { signal: lettered("s", flag.text) }),
    })
    count(rest, 1)
    const query = {
      t: given["time"],
      signal: given["signal"],
    }
    return onEach(rest, async (container) => {
      await client.request("POST", `/containers/${encode(container)}/${name}`, { query })
        .then((response) => response.resume())
      return undefined
    })
  }

export const stop = verb("stop", { time: "t", signal: "s" })
export const restart = verb("restart", { time: "t", signal: "s" })
export const kill = verb("kill", { signal: "s" })
export const pause = verb("pause")
export const unpause = verb("unpause")

/** `balena start [-a] [-i] CONTAINER…`. */
export async function start(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, {
    attach: lettered("a", flag.on),
    interactive: lettered("i", flag.on),
  } as const)
  count(rest, 1, given.attach || given.interactive ? 1 : Infinity)
  const [name = ""] = rest
  if (given.attach || given.interactive) return attachTo(client, name, given.interactive, true)
  return onEach(rest, async (container) => {
    await client.json("POST", `/containers/${encode(container)}/start`)
    return undefined
  })
}

/** `balena attach CONTAINER`. */
export async function attach(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, { "no-stdin": flag.on, "sig-proxy": flag.text } as const)
  count(rest, 1, 1)
  const [name = ""] = rest
  return attachTo(client, name, !given["no-stdin"], false)
}

async function attachTo(
  client: Client,
  name: string,
  stdin: boolean,
  starts: boolean,
): Promise<number> {
  const { Id: id, Config: { Tty: tty, OpenStdin } } = await client.json<{
    Id: string
    Config: { Tty: boolean; OpenStdin: boolean }
  }>("GET", `/containers/${encode(name)}/json`)
  const wanted = { stdin: stdin && OpenStdin, tty }
  const attached = await client.hijack("POST", `/containers/${id}/attach`, {
    query: { stream: 1, stdin: wanted.stdin ? 1 : 0, stdout: 1, stderr: 1 },
  })
  const exit = await exitOf(client, id, starts ? "next-exit" : "not-running")
  const joined = join(attached, wanted)
  const started = starts ? client.json("POST", `/containers/${id}/start`) : Promise.resolve()
  const unforward = tty ? () => {} : forwardSignals(client, id, started)
  try {
    await started
    if (tty) await keepSize(client, id)
    return await joined === "detached" ? 0 : await exit.code()
  } finally {
    exit.forget()
    attached.socket.destroy()
    unforward()
  }
}

/** `balena rm CONTAINER…`. */
export async function rm(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, {
    force: lettered("f", flag.on),
    volumes: lettered("v", flag.on),
  } as const)
  count(rest, 1)
  const query = { force: given.force ? 1 : undefined, v: given.volumes ? 1 : undefined }
  return onEach(rest, async (container) => {
    await client.json("DELETE", `/containers/${encode(container)}`, { query })
    return undefined
  })
}

/** `balena wait CONTAINER…`: prints each one's exit code. */
export async function wait(client: Client, words: readonly string[]): Promise<number> {
  const { rest } = parse(words, {})
  count(rest, 1)
  return onEach(rest, async (container) => {
    const path = `/containers/${encode(container)}/wait`
    const { StatusCode } = await client.json<{ StatusCode: number }>("POST", path)
    return String(StatusCode)
  })
}

/** `balena rename OLD NEW`. */
export async function rename(client: Client, words: readonly string[]): Promise<number> {
  const { rest } = parse(words, {})
  count(rest, 2, 2)
  const [old = "", name = ""] = rest
  await client.json("POST", `/containers/${encode(old)}/rename`, { query: { name } })
  return 0
}

/** `balena logs [-f] CONTAINER`. */
export async function logs(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, {
    details: flag.on,
    follow: lettered("f", flag.on),
    since: flag.text,
    tail: lettered("n", flag.text),
    timestamps: lettered("t", flag.on),
    until: flag.text,
  } as const)
  count(rest, 1, 1)
  const path = `/containers/${encode(rest[0] ?? "")}`
  const { Config } = await client.json<{ Config: { Tty: boolean } }>("GET", `${path}/json`)
  const response = await client.request("GET", `${path}/logs`, {
    query: {
      stdout: 1,
      stderr: 1,
      details: given.details ? 1 : undefined,
      follow: given.follow ? 1 : undefined,
      since: given.since,
      tail: given.tail,
      timestamps: given.timestamps ? 1 : undefined,
      until: given.until,
    },
  })
  const write = (stream: number, data: Buffer) => {
    const out = stream === 2 ? process.stderr : process.stdout
    if (out.write(data)) return
    response.pause()
    out.once("drain", () => response.resume())
  }
  const onData = Config.Tty ? (data: Buffer) => write(1, data) : demultiplexer(write)
  response.on("data", onData)
  await new Promise<void>((resolve) => response.once("close", () => resolve()))
  return 0
}

/** `balena top CONTAINER [ps options]`. */
export async function top(client: Client, words: readonly string[]): Promise<number> {
  const { rest } = parse(words, {}, { stopAtFirst: true })
  count(rest, 1)
  const [name = "", ...options] = rest
  const { Titles, Processes } = await client.json<{ Titles: string[]; Processes: string[][] }>(
    "GET",
    `/containers/${encode(name)}/top`,
    { query: { ps_args: options.length > 0 ? options.join(" ") : undefined } },
  )
  process.stdout.write(table([Titles, ...Processes]))
  return 0
}
