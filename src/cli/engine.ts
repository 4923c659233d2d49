import { ClientError, type Client } from "../api/client.ts"
import { count, flag, lettered, parse } from "./argv.ts"
import { filters } from "./containers.ts"
import { fill } from "./text.ts"

interface Version {
  readonly Version: string
  readonly ApiVersion: string
  readonly MinAPIVersion: string
  readonly Os: string
  readonly Arch: string
  readonly KernelVersion: string
  readonly Engine?: string
}

/** `balena version`. */
export async function version(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, { format: lettered("f", flag.text) } as const)
  count(rest, 0, 0)
  const server = await client.json<Version>("GET", "/version")
  process.stdout.write(
    given.format !== undefined
      ? `${fill(given.format, { Server: server, Client: { Version: server.Version } })}\n`
      : `${[
        `Server: ${server.Engine ?? "engine"}`,
        ` Version:          ${server.Version}`,
        ` API version:      ${server.ApiVersion} (minimum version ${server.MinAPIVersion})`,
        ` OS/Arch:          ${server.Os}/${server.Arch}`,
        ` Kernel version:   ${server.KernelVersion}`,
      ].join("\n")}\n`,
  )
  return 0
}

/** Keys of `GET /info` that people look for, in the docker CLI's words. */
const INFO = {
  Containers: "Containers",
  ContainersRunning: " Running",
  ContainersPaused: " Paused",
  ContainersStopped: " Stopped",
  Images: "Images",
  ServerVersion: "Server Version",
  Driver: "Storage Driver",
  LoggingDriver: "Logging Driver",
  CgroupDriver: "Cgroup Driver",
  CgroupVersion: "Cgroup Version",
  DefaultRuntime: "Default Runtime",
  KernelVersion: "Kernel Version",
  OperatingSystem: "Operating System",
  Architecture: "Architecture",
  NCPU: "CPUs",
  MemTotal: "Total Memory",
  Name: "Name",
  ID: "ID",
  DockerRootDir: "Root Dir",
  Debug: "Debug Mode",
  ExperimentalBuild: "Experimental",
} as const

/** `balena info`. */
export async function info(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, { format: lettered("f", flag.text) } as const)
  count(rest, 0, 0)
  const answer = await client.json<Record<string, unknown>>("GET", "/info")
  if (given.format !== undefined) {
    process.stdout.write(`${fill(given.format, answer)}\n`)
    return 0
  }
  const known = Object.entries(INFO).filter(([key]) => answer[key] !== undefined)
  const lines = known.map(([key, word]) => `${word}: ${String(answer[key])}\n`)
  const warnings = (answer["Warnings"] ?? []) as readonly string[]
  process.stdout.write(lines.join(""))
  process.stderr.write(warnings.map((warning) => `${warning}\n`).join(""))
  return 0
}

/** Where `inspect` looks for a name, in this order. */
const PLACES = {
  container: "/containers/%/json",
  image: "/images/%/json",
  network: "/networks/%",
  volume: "/volumes/%",
} as const

/** `balena inspect NAME…`: containers first, then images. */
export async function inspect(
  client: Client,
  words: readonly string[],
  only?: keyof typeof PLACES,
): Promise<number> {
  const { given, rest } = parse(words, {
    format: lettered("f", flag.text),
    size: lettered("s", flag.on),
    type: flag.text,
  } as const)
  count(rest, 1)
  const type = only ?? given.type
  const places = Object.entries(PLACES).filter(([name]) => type === undefined || name === type)
  const found: unknown[] = []
  let code = 0
  for (const name of rest) {
    const one = await firstOf(client, places.map(([, path]) => path), name, given.size)
    if (one !== null) found.push(one)
    else {
      process.stderr.write(`Error: No such ${type ?? "object"}: ${name}\n`)
      code = 1
    }
  }
  const { format } = given
  process.stdout.write(
    format === undefined
      ? `${JSON.stringify(found, null, 4)}\n`
      : found.map((one) => `${fill(format, one)}\n`).join(""),
  )
  return code
}

async function firstOf(
  client: Client,
  paths: readonly string[],
  name: string,
  sized: boolean,
): Promise<unknown> {
  for (const path of paths) {
    try {
      const encoded = name.split("/").map(encodeURIComponent).join("/")
      const query = { size: sized ? 1 : undefined }
      return await client.json("GET", path.replace("%", encoded), { query })
    } catch (error) {
      // What is no container may be an image; 501 is a noun this daemon does not have.
      const absent = error instanceof ClientError && [400, 404, 501].includes(error.status)
      if (!absent) throw error
    }
  }
  return null
}

interface Message {
  readonly Type: string
  readonly Action: string
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> }
  readonly timeNano: number
}

/** `balena events`. */
export async function events(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, {
    filter: lettered("f", flag.list),
    format: flag.text,
    since: flag.text,
    until: flag.text,
  } as const)
  count(rest, 0, 0)
  const { since, until, format } = given
  const query = { since, until, filters: filters(given.filter) }
  for await (const message of client.messages<Message>("GET", "/events", { query })) {
    const { Type, Action, Actor: { ID, Attributes } } = message
    const attributes = Object.entries(Attributes).map((pair) => pair.join("=")).join(", ")
    const at = new Date(message.timeNano / 1e6).toISOString()
    const plain = `${at} ${Type} ${Action} ${ID} (${attributes})`
    process.stdout.write(`${format === undefined ? plain : fill(format, message)}\n`)
  }
  return 0
}
