import { ClientError, type Client } from "../api/client.ts"
import { count, flag, lettered, parse } from "./argv.ts"
import { credentialsFor } from "./credentials.ts"
import { bar, size } from "./text.ts"

/** One line of Docker's progress streams; balenaEngine adds the one whose id is `Total`. */
export interface Progress {
  readonly id?: string
  readonly status?: string
  readonly stream?: string
  readonly error?: string
  readonly progressDetail?: { readonly current?: number; readonly total?: number }
}

const TOTAL = "Total"

/** Draws progress as it comes: on a terminal in place, elsewhere what changed, a line each. */
export class Screen {
  readonly #out: NodeJS.WriteStream
  /** Ids in the order they came; the total stands last. */
  readonly #lines = new Map<string, string>()
  #said = new Map<string, string>()

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
  }

  show({ id, status = "", stream, progressDetail = {} }: Progress): void {
    if (stream !== undefined) {
      this.#out.write(stream)
      return
    }
    if (id === undefined || id === "") {
      this.#out.write(`${status}\n`)
      this.#lines.clear()
      return
    }
    const { current = 0, total = 0 } = progressDetail
    const moves = total > 0 || current > 0
    const whole = id === TOTAL && total > 0 && current >= total
    if (!this.#out.isTTY) this.#tell(id, whole ? size(total, 4) : status)
    else this.#draw(id, `${id}: ${status}${moves ? ` ${bar(current, total)}` : ""}`)
  }

  #tell(id: string, status: string): void {
    if (status === "" || this.#said.get(id) === status) return
    this.#said.set(id, status)
    this.#out.write(`${id}: ${status}\n`)
  }

  #draw(id: string, line: string): void {
    const before = this.#lines.size
    this.#lines.set(id, line)
    const total = this.#lines.get(TOTAL)
    if (total !== undefined && this.#lines.size > before) {
      this.#lines.delete(TOTAL)
      this.#lines.set(TOTAL, total)
    }
    const width = this.#out.columns
    const drawn = [...this.#lines.values()].map((text) => `\x1b[2K${text.slice(0, width)}\n`)
    this.#out.write((before > 0 ? `\x1b[${before}A` : "") + drawn.join(""))
  }
}

interface PullGiven {
  readonly platform: string | undefined
  readonly quiet: boolean
}

/** Splits `name[:tag|@digest]`; without either the tag is `latest`. */
export function splitReference(reference: string): readonly [name: string, tag: string] {
  const at = reference.indexOf("@")
  if (at >= 0) return [reference.slice(0, at), reference.slice(at + 1)]
  const colon = reference.lastIndexOf(":")
  if (colon > reference.lastIndexOf("/")) {
    return [reference.slice(0, colon), reference.slice(colon + 1)]
  }
  return [reference, "latest"]
}

/** Pulls an image and shows how it goes. */
export async function pullImage(
  client: Client,
  reference: string,
  { platform, quiet }: PullGiven,
  out: NodeJS.WriteStream,
): Promise<void> {
  const [fromImage, tag] = splitReference(reference)
  const call = { query: { fromImage, tag, platform }, headers: credentialsFor(fromImage) }
  await show(client.messages<Progress>("POST", "/images/create", call), quiet, out)
}

/** Shows a stream of progress to its end; a fault in mid stream is thrown. */
export async function show(
  messages: AsyncIterable<Progress>,
  quiet: boolean,
  out: NodeJS.WriteStream,
): Promise<void> {
  const screen = new Screen(out)
  for await (const message of messages) {
    if (message.error !== undefined) throw new ClientError(message.error, 0)
    if (!quiet) screen.show(message)
  }
}

/** `balena pull NAME[:TAG|@DIGEST]`. */
export async function pull(client: Client, words: readonly string[]): Promise<number> {
  const flags = { platform: flag.text, quiet: lettered("q", flag.on) } as const
  const { given, rest } = parse(words, flags)
  count(rest, 1, 1)
  const [reference = ""] = rest
  const full = splitReference(reference).join(reference.includes("@") ? "@" : ":")
  if (!given.quiet && full !== reference) process.stdout.write("Using default tag: latest\n")
  await pullImage(client, reference, given, process.stdout)
  process.stdout.write(`${full}\n`)
  return 0
}

/** `balena push [-a] NAME[:TAG]`. */
export async function push(client: Client, words: readonly string[]): Promise<number> {
  const flags = { "all-tags": lettered("a", flag.on), quiet: lettered("q", flag.on) } as const
  const { given, rest } = parse(words, flags)
  count(rest, 1, 1)
  const [reference = ""] = rest
  const [name, tag] = splitReference(reference)
  const isNamed = `${name}:${tag}` === reference || reference.includes("@")
  if (given["all-tags"] && isNamed) {
    throw new ClientError("tag can't be used with --all-tags/-a", 0)
  }
  const isDefault = !given["all-tags"] && !isNamed
  if (!given.quiet && isDefault) process.stdout.write("Using default tag: latest\n")
  const path = name.split("/").map(encodeURIComponent).join("/")
  const call = {
    query: { tag: given["all-tags"] ? undefined : tag },
    headers: credentialsFor(name),
  }
  await show(client.messages<Progress>("POST", `/images/${path}/push`, call), given.quiet,
    process.stdout)
  if (given.quiet) process.stdout.write(`${given["all-tags"] ? name : `${name}:${tag}`}\n`)
  return 0
}
