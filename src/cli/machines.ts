import { ClientError, type Client } from "../api/client.ts"
import { count, flag, lettered, parse, UsageError } from "./argv.ts"

const FORMATS = ["text", "json", "mermaid", "dot"]

/**
 * `balena debug machines [ADDRESS]`: all machines, one drawn with its live state marked, or with
 * `--history` how it came there; `--retry` lifts its quarantine. The daemon writes the text; this
 * only carries it.
 */
export async function machines(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, {
    at: flag.text,
    format: lettered("f", flag.text),
    history: flag.on,
    json: flag.on,
    retry: flag.on,
    watch: lettered("w", flag.on),
  } as const)
  count(rest, 0, 1)
  const format = given.json ? "json" : (given.format ?? "text")
  if (!FORMATS.includes(format)) {
    throw new UsageError(`unknown format ${format}: one of ${FORMATS.join(", ")}`)
  }
  const [address] = rest
  if (given.retry) return retry(client, address)
  if (given.history && address === undefined) throw new UsageError("--history needs an ADDRESS")
  const path = pathOf(address, ...(given.history ? ["history"] : []))
  const query = { format, at: given.at, follow: given.watch ? 1 : undefined }
  const response = await client.request("GET", path, { query })
  let last = ""
  response.setEncoding("utf8")
  for await (const chunk of response as AsyncIterable<string>) {
    process.stdout.write(chunk)
    last = chunk.at(-1) ?? last
  }
  if (last !== "\n") process.stdout.write("\n")
  return 0
}

const pathOf = (address: string | undefined, ...more: string[]): string => {
  const named = address === undefined ? [] : address.split("/").map(encodeURIComponent)
  return ["/debug/machines", ...named, ...more].join("/")
}

/** Has a machine in quarantine fed again. */
async function retry(client: Client, address: string | undefined): Promise<number> {
  if (address === undefined) throw new UsageError("--retry needs an ADDRESS")
  const { statusCode } = await client.request("POST", pathOf(address, "retry"), {})
  const what = statusCode === 304 ? "is not in quarantine" : "goes on"
  process.stdout.write(`${address} ${what}\n`)
  return 0
}

/** `balena debug THING`. */
export async function debug(
  client: Client,
  [thing = "", ...words]: readonly string[],
): Promise<number> {
  if (thing === "machines") return machines(client, words)
  throw new ClientError(`balena debug knows machines, not '${thing}'`, 0)
}
