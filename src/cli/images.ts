import * as fs from "node:fs"
import { pipeline } from "node:stream/promises"
import { ClientError, type Client } from "../api/client.ts"
import { count, flag, lettered, parse } from "./argv.ts"
import { filters, onEach } from "./containers.ts"
import { credentialsFor } from "./credentials.ts"
import { show, splitReference, type Progress } from "./pull.ts"
import { ago, fill, shortId, size, table } from "./text.ts"

/** A row of `GET /images/json`. */
interface Listed {
  readonly Id: string
  readonly RepoTags: readonly string[] | null
  readonly RepoDigests: readonly string[] | null
  /** Seconds since 1970. */
  readonly Created: number
  readonly Size: number
}

const NONE = "<none>"
const path = (name: string): string => name.split("/").map(encodeURIComponent).join("/")

/** One row for every name an image has; a digest only where it has no tag. */
function namesOf({ RepoTags, RepoDigests }: Listed) {
  const tags = (RepoTags ?? []).filter((tag) => !tag.startsWith(NONE))
  if (tags.length > 0) return tags.map(splitReference).map(([name, tag]) => ({ name, tag }))
  const [digest] = (RepoDigests ?? []).filter((digest) => !digest.startsWith(NONE))
  return [{ name: digest === undefined ? NONE : splitReference(digest)[0], tag: NONE }]
}

/** `balena images`. */
export async function images(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, {
    all: lettered("a", flag.on),
    digests: flag.on,
    filter: lettered("f", flag.list),
    format: flag.text,
    "no-trunc": flag.on,
    quiet: lettered("q", flag.on),
  } as const)
  count(rest, 0, 1)
  const asked = rest.map((name) => `reference=${name}`)
  const listed = await client.json<readonly Listed[]>("GET", "/images/json", {
    query: { all: given.all ? 1 : undefined, filters: filters([...given.filter, ...asked]) },
  })
  const rows = listed.flatMap((image) =>
    namesOf(image).map(({ name, tag }) => ({
      Repository: name,
      Tag: tag,
      Digest: image.RepoDigests?.[0]?.split("@")[1] ?? NONE,
      ID: given["no-trunc"] ? image.Id : shortId(image.Id),
      CreatedSince: ago(image.Created),
      CreatedAt: new Date(image.Created * 1000).toISOString(),
      Size: size(image.Size),
    })))
  if (given.quiet) {
    process.stdout.write([...new Set(rows.map((row) => `${row.ID}\n`))].join(""))
    return 0
  }
  const { format } = given
  if (format !== undefined) {
    process.stdout.write(rows.map((row) => `${fill(format, row)}\n`).join(""))
    return 0
  }
  const cells = (it: (typeof rows)[number]) => given.digests
    ? [it.Repository, it.Tag, it.Digest, it.ID, it.CreatedSince, it.Size]
    : [it.Repository, it.Tag, it.ID, it.CreatedSince, it.Size]
  const digest = given.digests ? ["DIGEST"] : []
  const head = ["REPOSITORY", "TAG", ...digest, "IMAGE ID", "CREATED", "SIZE"]
  process.stdout.write(table([head, ...rows.map(cells)]))
  return 0
}

interface Deleted {
  readonly Untagged?: string
  readonly Deleted?: string
}

/** `balena rmi IMAGE…`. */
export async function rmi(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, {
    force: lettered("f", flag.on),
    "no-prune": flag.on,
  } as const)
  count(rest, 1)
  const query = { force: given.force ? 1 : undefined, noprune: given["no-prune"] ? 1 : undefined }
  return onEach(rest, async (name) => {
    const gone = await client.json<readonly Deleted[]>("DELETE", `/images/${path(name)}`, { query })
    return gone
      .map((one) => (one.Untagged ? `Untagged: ${one.Untagged}` : `Deleted: ${one.Deleted}`))
      .join("\n")
  })
}

/** `balena load [-i FILE]`: from standard input where no file is named. */
export async function load(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, {
    input: lettered("i", flag.text),
    quiet: lettered("q", flag.on),
  } as const)
  count(rest, 0, 0)
  if (given.input === undefined && process.stdin.isTTY) {
    throw new ClientError("requested load from stdin, but stdin is empty", 0)
  }
  if (given.input !== undefined) fs.accessSync(given.input, fs.constants.R_OK)
  const body = given.input === undefined ? process.stdin : fs.createReadStream(given.input)
  const query = { quiet: given.quiet ? 1 : 0 }
  const messages = client.messages<Progress>("POST", "/images/load", { query, body })
  await show(messages, false, process.stdout)
  return 0
}

/** `balena save [-o FILE] IMAGE…`. */
export async function save(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, { output: lettered("o", flag.text) } as const)
  count(rest, 1)
  if (given.output === undefined && process.stdout.isTTY) {
    throw new ClientError("cowardly refusing to save to a terminal. Use the -o flag or redirect", 0)
  }
  const query = rest.map((name) => `names=${encodeURIComponent(name)}`).join("&")
  const response = await client.request("GET", `/images/get?${query}`)
  if (given.output === undefined) await pipeline(response, process.stdout, { end: false })
  else {
    // A save that breaks off must not leave what looks like an archive.
    const part = `${given.output}.part`
    await pipeline(response, fs.createWriteStream(part))
    fs.renameSync(part, given.output)
  }
  return 0
}

/** `balena tag IMAGE NAME[:TAG]`. */
export async function tag(client: Client, words: readonly string[]): Promise<number> {
  const { rest } = parse(words, {})
  count(rest, 2, 2)
  const [image = "", reference = ""] = rest
  const [repo, tag] = splitReference(reference)
  await client.json("POST", `/images/${path(image)}/tag`, { query: { repo, tag } })
  return 0
}

/** `balena image delta [-t NAME[:TAG]] [--push] [--format F] BASE… IMAGE`. */
export async function delta(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, {
    tag: lettered("t", flag.text),
    push: flag.on,
    format: flag.text,
  } as const)
  count(rest, 2)
  const dest = rest.at(-1)!
  const query = new URLSearchParams(rest.slice(0, -1).map((src) => ["src", src]))
  query.set("dest", dest)
  if (given.tag !== undefined) query.set("t", given.tag)
  if (given.format !== undefined) query.set("format", given.format)
  if (given.push) query.set("push", "1")
  const [name] = splitReference(given.tag ?? dest)
  const call = given.push ? { headers: credentialsFor(name) } : {}
  const messages = client.messages<Progress>("POST", `/images/delta?${query}`, call)
  await show(messages, false, process.stdout)
  return 0
}

/** `balena history IMAGE`. */
export async function history(client: Client, words: readonly string[]): Promise<number> {
  const { given, rest } = parse(words, { "no-trunc": flag.on } as const)
  count(rest, 1, 1)
  const rows = await client.json<readonly {
    Id: string
    Created: number
    CreatedBy: string
    Size: number
  }[]>("GET", `/images/${path(rest[0] ?? "")}/history`)
  const cut = (text: string) =>
    given["no-trunc"] || text.length <= 45 ? text : `${text.slice(0, 44)}…`
  process.stdout.write(table([
    ["IMAGE", "CREATED", "CREATED BY", "SIZE"],
    ...rows.map((row) => [shortId(row.Id), ago(row.Created), cut(row.CreatedBy), size(row.Size)]),
  ]))
  return 0
}
