import * as fs from "node:fs"
import { ClientError, textOf, type Client } from "../api/client.ts"
import { count, flag, lettered, parse, UsageError } from "./argv.ts"
import { CREATE_FLAGS, createBody, type CreateGiven, type Streams } from "./create.ts"
import { pullImage } from "./pull.ts"
import { forwardSignals, join, keepSize } from "./session.ts"
import { shortId } from "./text.ts"

/** Exit codes of `run` itself: the engine's fault, not runnable, not found. */
const ENGINE_FAULT = 125
const NOT_RUNNABLE = 126
const NOT_FOUND = 127

const RUN_FLAGS = {
  ...CREATE_FLAGS,
  attach: lettered("a", flag.list),
  detach: lettered("d", flag.on),
  "sig-proxy": flag.text,
} as const

/** `balena create IMAGE [COMMAND]`. */
export async function create(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, CREATE_FLAGS, { stopAtFirst: true })
  count(rest, 1)
  process.stdout.write(`${await createContainer(client, given, rest, { attach: true })}\n`)
  return 0
}

/** `balena run IMAGE [COMMAND]`: the docker CLI's order of calls, so that no output is missed. */
export async function run(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, RUN_FLAGS, { stopAtFirst: true })
  count(rest, 1)
  if (given.detach && given.attach.length > 0) {
    throw new UsageError("conflicting options: cannot specify both --attach and --detach")
  }
  if (given.tty && given.interactive && !given.detach && !process.stdin.isTTY) {
    throw new UsageError("the input device is not a TTY")
  }
  try {
    const id = await createContainer(client, given, rest, { attach: !given.detach })
    if (!given.detach) return await inForeground(client, id, given, given["sig-proxy"] !== "false")
    await client.json("POST", `/containers/${id}/start`)
    process.stdout.write(`${id}\n`)
    return 0
  } catch (error) {
    if (!(error instanceof ClientError)) throw error
    process.stderr.write(`balena: ${error.message}.\n\nRun 'balena run --help' for more.\n`)
    return startFault(error.message)
  }
}

function startFault(message: string): number {
  if (/executable file not found|no such file or directory/.test(message)) return NOT_FOUND
  return /permission denied|is a directory/i.test(message) ? NOT_RUNNABLE : ENGINE_FAULT
}

interface Created {
  readonly Id: string
  readonly Warnings: readonly string[] | null
}

/** Creates the container, after a pull where its image is missing; answers its ID. */
async function createContainer(
  client: Client,
  given: CreateGiven,
  [image = "", ...command]: readonly string[],
  streams: Streams,
): Promise<string> {
  const call = {
    query: { name: given.name, platform: given.platform },
    body: createBody(given, image, command, streams),
  }
  const ask = () => client.json<Created>("POST", "/containers/create", call)
  if (given.pull === "always") await pullImage(client, image, given, process.stderr)
  const created = await ask().catch(async (error: unknown) => {
    const missing = error instanceof ClientError && error.status === 404
      && /no such image/i.test(error.message)
    if (!missing || given.pull === "never") throw error
    process.stderr.write(`Unable to find image '${image}' locally\n`)
    await pullImage(client, image, given, process.stderr)
    return ask()
  })
  for (const warning of created.Warnings ?? []) process.stderr.write(`WARNING: ${warning}\n`)
  if (given.cidfile !== undefined) fs.writeFileSync(given.cidfile, created.Id, { flag: "wx" })
  return created.Id
}

async function inForeground(
  client: Client,
  id: string,
  { interactive, tty, rm }: CreateGiven,
  proxied: boolean,
): Promise<number> {
  const attached = await client.hijack("POST", `/containers/${id}/attach`, {
    query: { stream: 1, stdin: interactive ? 1 : 0, stdout: 1, stderr: 1 },
  })
  const joined = join(attached, { stdin: interactive, tty })
  const exit = await exitOf(client, id, rm ? "removed" : "next-exit")
  const started = client.json("POST", `/containers/${id}/start`)
  const unforward = proxied && !tty ? forwardSignals(client, id, started) : () => {}
  try {
    await started
    if (tty) await keepSize(client, id)
    return await joined === "detached" ? 0 : await exit.code()
  } catch (error) {
    attached.socket.destroy()
    await joined.catch(() => null)
    throw error
  } finally {
    exit.forget()
    unforward()
  }
}

/** A wait that the daemon has heard: `code` gives the exit code once there is one. */
interface Exit {
  readonly code: () => Promise<number>
  readonly forget: () => void
}

/** Starts to wait for a container's end, and answers once the daemon has heard it. */
export async function exitOf(client: Client, id: string, condition: string): Promise<Exit> {
  const response = await client.request("POST", `/containers/${id}/wait`, { query: { condition } })
  const text = textOf(response)
  text.catch(() => null) // read or not, a lost connection is told by `code`
  const code = async (): Promise<number> => {
    const answer = await text.catch(() => "")
    if (answer === "") throw new ClientError(`the daemon went away while ${shortId(id)} ran`, 0)
    const { StatusCode, Error: fault } = JSON.parse(answer) as {
      StatusCode: number
      Error?: { Message: string } | null
    }
    if (fault) process.stderr.write(`Error waiting for container: ${fault.Message}\n`)
    return StatusCode
  }
  return { code, forget: () => response.destroy() }
}
