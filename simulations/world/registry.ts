import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { digestOf } from "../../src/oci/digest.ts"
import { type Blob, PIECE_BYTES, piecesOf, written } from "./registry-blobs.ts"
import { REFERRERS_TYPE, referrersIndex } from "./registry-referrers.ts"
import { type UploadMisdeed, Uploads } from "./registry-uploads.ts"

/**
 * A registry inside this process, on loopback: for tests and for the demonstration, never shipped.
 * It speaks the distribution specification, and misbehaves on demand.
 *
 * What it may do to a client, and why that must be survivable: cut, stall or slow an answer (links
 * do); answer 5xx, 429 or an expired token (services do); send a damaged or short blob (disks and
 * proxies do), or one of another length than the manifest says (the hostile do); ignore Range, or
 * redirect to another host (many do).
 */
export interface RegistryOptions {
  readonly auth?: Auth
  /** Serve TLS with this key and certificate instead of plain HTTP. */
  readonly port?: number
  /** Does it list what refers to a manifest? Those before version 1.1 do not. */
  readonly referrers?: boolean
}

export type Auth =
  | { readonly kind: "none" }
  | { readonly kind: "basic"; readonly username: string; readonly password: string }
  | {
    readonly kind: "bearer"
    readonly username: string
    readonly password: string
    /** Accepted at the realm as an OAuth2 refresh token. */
    readonly identityToken?: string
    /** May repositories be read without credentials? A token is wanted all the same. */
    readonly anonymous?: boolean
    /** What the token server says of a token's life. */
    readonly lifeS?: number
  }

export type Kind = "ping" | "manifest" | "referrers" | "blob" | "upload" | "token"

export type Misdeed =
  | UploadMisdeed
  | { readonly do: "stall"; readonly afterBytes: number }
  | { readonly do: "slow"; readonly bytesPerS: number }
  | {
    readonly do: "answer"
    readonly status: number
    readonly headers?: Readonly<Record<string, string>>
    readonly body?: string
  }
  | { readonly do: "corrupt"; readonly at: number }
  | { readonly do: "truncate"; readonly bytes: number }
  /** Content-Length says something else than what is sent; then the connection closes. */
  | { readonly do: "lie"; readonly length: number }
  | { readonly do: "ignoreRange" }
  | { readonly do: "chunked" }
  | { readonly do: "redirect"; readonly to: string }

export interface Fault {
  readonly on: Kind
  /** A blob's or manifest's digest; a manifest's tag; an upload's method. Missing: any. */
  readonly name?: string
  /** Missing: any. */
  readonly method?: string
  /** How many requests suffer it; missing: all. */
  readonly times?: number
  readonly misdeed: Misdeed
}

/** What a client asked, in the order asked. */
export interface Seen {
  readonly kind: Kind
  readonly method: string
  readonly path: string
  /** What was asked for, or of an upload what came. */
  readonly range: string | null
  readonly ifRange: string | null
  readonly authorization: string | null
  readonly body: string
  status: number
}

export class EmbeddedRegistry {
  /** `127.0.0.1:41234`: what stands before the first slash of a reference. */
  readonly host: string
  readonly seen: Seen[] = []
  readonly #server: Server
  readonly #auth: Auth
  readonly #listsReferrers: boolean
  readonly #blobs = new Map<string, Blob>()
  readonly #manifests = new Map<
    string,
    { readonly mediaType: string; readonly bytes: Uint8Array }
  >()
  readonly #faults: { readonly fault: Fault; left: number }[] = []
  readonly #tokens = new Set<string>()
  readonly #sockets = new Set<Socket>()
  readonly #sent = new Map<string, number>()
  readonly uploads = new Uploads({
    keep: (bytes) => this.addBlob(bytes),
    has: (digest) => this.#blobs.has(digest),
  })
  #tokensMade = 0

  private constructor(server: Server, auth: Auth, listsReferrers: boolean) {
    const { port } = server.address() as AddressInfo
    this.host = `127.0.0.1:${port}`
    this.#server = server
    this.#auth = auth
    this.#listsReferrers = listsReferrers
    server.on("connection", (socket) => {
      this.#sockets.add(socket)
      socket.on("close", () => this.#sockets.delete(socket))
      socket.on("error", () => {})
    })
    server.on("request", (request, response) => void this.#serve(request, response))
    server.on("clientError", (_, socket) => socket.destroy())
  }

  static async start(options: RegistryOptions = {}): Promise<EmbeddedRegistry> {
    const server = createServer({ keepAliveTimeout: 60_000 })
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject)
      server.listen(options.port ?? 0, "127.0.0.1", resolve)
    })
    const { auth = { kind: "none" }, referrers = false } = options
    return new EmbeddedRegistry(server, auth, referrers)
  }

  async close(): Promise<void> {
    this.cutAll()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** Breaks every connection at once, as a link that goes away. */
  cutAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  inject(fault: Fault): void {
    this.#faults.push({ fault, left: fault.times ?? Infinity })
  }

  heal(): void {
    this.#faults.length = 0
  }

  /** Every token given out so far stops working. */
  expireTokens(): void {
    this.#tokens.clear()
  }

  addBlob(bytes: Uint8Array): string {
    const digest = digestOf(bytes)
    this.#blobs.set(digest, { size: bytes.length, bytes, path: null })
    return digest
  }

  addBlobFile(digest: string, path: string, size: number): void {
    this.#blobs.set(digest, { size, bytes: null, path })
  }

  /** Keeps a manifest under its digest and, if given, a tag. Answers the digest. */
  addManifest(
    repository: string,
    mediaType: string,
    bytes: Uint8Array,
    tag: string | null = null,
  ): string {
    const digest = digestOf(bytes)
    this.#manifests.set(`${repository}@${digest}`, { mediaType, bytes })
    if (tag !== null) this.#manifests.set(`${repository}@${tag}`, { mediaType, bytes })
    return digest
  }

  /** Bytes of this blob (or of all) that the kernel has taken for sending, over all requests. */
  bytesSent(digest?: string): number {
    if (digest !== undefined) return this.#sent.get(digest) ?? 0
    return [...this.#sent.values()].reduce((sum, bytes) => sum + bytes, 0)
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on("error", () => {})
    const url = new URL(request.url ?? "/", `http://${this.host}`)
    const { method = "GET", headers } = request
    const { kind, repository, name } = targetOf(url, method)
    const body = kind === "upload" ? "" : await textOf(request)
    const seen: Seen = {
      kind,
      method,
      path: url.pathname + url.search,
      range: headers.range ?? headers["content-range"]?.toString() ?? null,
      ifRange: headers["if-range"]?.toString() ?? null,
      authorization: headers.authorization ?? null,
      body,
      status: 0,
    }
    this.seen.push(seen)
    const misdeed = this.#misdeedFor(kind, name, method)
    response.on("close", () => (seen.status = response.statusCode))
    const isTold = misdeed?.do === "cut" || misdeed?.do === "drop"
    if (misdeed?.do === "answer") {
      response.writeHead(misdeed.status, misdeed.headers).end(misdeed.body ?? "")
    } else if (misdeed?.do === "redirect") {
      response.writeHead(307, { location: misdeed.to }).end()
    } else if (kind === "token") this.#serveToken(url, seen, response)
    else if (!this.#admits(headers.authorization)) this.#challenge(repository, response)
    else if (kind === "ping") json(response, 200, {})
    else if (kind === "referrers") this.#serveReferrers(repository, name, response)
    else if (kind === "upload") {
      await this.uploads.serve(request, response, url, isTold ? misdeed : null)
    } else if (kind === "manifest" && method === "PUT") {
      if (misdeed?.do !== "drop") {
        const tag = name.includes(":") ? null : name
        this.addManifest(repository, headers["content-type"] ?? "", Buffer.from(body), tag)
      }
      if (isTold) response.destroy()
      else response.writeHead(201).end()
    } else if (kind === "manifest") this.#serveManifest(repository, name, method, response)
    else if (method === "HEAD") this.#headBlob(name, response)
    else await this.#serveBlob(name, seen, misdeed, response)
  }

  #misdeedFor(kind: Kind, name: string, method: string): Misdeed | null {
    const found = this.#faults.find(({ fault, left }) =>
      left > 0 && fault.on === kind && (fault.name ?? name) === name &&
      (fault.method ?? method) === method
    )
    if (found === undefined) return null
    found.left -= 1
    return found.fault.misdeed
  }

  #admits(authorization = ""): boolean {
    const auth = this.#auth
    if (auth.kind === "none") return true
    if (auth.kind === "basic") return authorization === basic(auth)
    return this.#tokens.has(authorization.replace(/^Bearer /, ""))
  }

  #challenge(repository: string, response: ServerResponse): void {
    const scope = repository === "" ? "" : `,scope="repository:${repository}:pull"`
    const authenticate = this.#auth.kind === "basic"
      ? `Basic realm="embedded"`
      : `Bearer realm="http://${this.host}/token",service="embedded"${scope}`
    response.setHeader("www-authenticate", authenticate)
    fail(response, 401, "UNAUTHORIZED", "authentication required")
  }

  #serveToken(url: URL, seen: Seen, response: ServerResponse): void {
    const auth = this.#auth
    if (auth.kind !== "bearer") return fail(response, 404, "UNSUPPORTED", "no tokens here")
    const form = new URLSearchParams(seen.body)
    const known = seen.method === "POST"
      ? form.get("grant_type") === "refresh_token"
        && form.get("refresh_token") === auth.identityToken
      : seen.authorization === basic(auth)
        || (auth.anonymous === true && seen.authorization === null)
    if (!known) {
      if (seen.authorization === null && seen.method === "GET") {
        // As Docker Hub: anybody gets a token, it just opens nothing.
        return json(response, 200, { token: "opens-nothing" })
      }
      return json(response, 401, { details: "incorrect username or password" })
    }
    const token = `token-${++this.#tokensMade}-${
      url.searchParams.get("scope") ?? form.get("scope")
    }`
      .replaceAll(/[^\w-]/g, "-")
    this.#tokens.add(token)
    json(response, 200, { token, access_token: token, expires_in: auth.lifeS ?? 300 })
  }

  #serveManifest(repository: string, name: string, method: string, response: ServerResponse): void {
    const found = this.#manifests.get(`${repository}@${name}`)
    if (found === undefined) {
      const known = [...this.#manifests.keys()].some((key) => key.startsWith(`${repository}@`))
      return known
        ? fail(response, 404, "MANIFEST_UNKNOWN", "manifest unknown")
        : fail(response, 404, "NAME_UNKNOWN", "repository name not known to registry")
    }
    response.writeHead(200, {
      "content-type": found.mediaType,
      "content-length": found.bytes.length,
      "docker-content-digest": digestOf(found.bytes),
    })
    response.end(method === "HEAD" ? undefined : found.bytes)
  }

  #serveReferrers(repository: string, digest: string, response: ServerResponse): void {
    if (!this.#listsReferrers) return fail(response, 404, "NOT_FOUND", "page not found")
    const own = [...this.#manifests].filter(([key]) => key.startsWith(`${repository}@sha256:`))
    json(response, 200, referrersIndex(own.map(([, kept]) => kept), digest), REFERRERS_TYPE)
  }

  #headBlob(digest: string, response: ServerResponse): void {
    const blob = this.#blobs.get(digest)
    response.writeHead(blob === undefined ? 404 : 200, { "content-length": blob?.size ?? 0 }).end()
  }

  async #serveBlob(
    digest: string,
    seen: Seen,
    misdeed: Misdeed | null,
    response: ServerResponse,
  ): Promise<void> {
    const blob = this.#blobs.get(digest)
    if (blob === undefined) return fail(response, 404, "BLOB_UNKNOWN", "blob unknown to registry")
    const size = misdeed?.do === "truncate" ? Math.min(misdeed.bytes, blob.size) : blob.size
    const etag = `"${digest}"`
    const mayRange = misdeed?.do !== "ignoreRange"
      && (seen.ifRange === null || seen.ifRange === etag)
    const wanted = mayRange ? /^bytes=(\d+)-$/.exec(seen.range ?? "") : null
    const start = Number(wanted?.[1] ?? 0)
    if (start >= size && wanted !== null) {
      response.writeHead(416, { "content-range": `bytes */${size}` }).end()
      return
    }
    const length = misdeed?.do === "lie" ? misdeed.length : size - start
    response.writeHead(wanted === null ? 200 : 206, {
      "content-type": "application/octet-stream",
      etag,
      ...(misdeed?.do === "chunked" ? {} : { "content-length": length }),
      ...(wanted === null ? {} : { "content-range": `bytes ${start}-${size - 1}/${size}` }),
    })
    await this.#send(digest, blob, start, size, misdeed, response)
  }

  /** Sends a blob piece by piece, each counted once the kernel has it. */
  async #send(
    digest: string,
    blob: Blob,
    start: number,
    size: number,
    misdeed: Misdeed | null,
    response: ServerResponse,
  ): Promise<void> {
    let at = start
    const stopAt = misdeed?.do === "cut" || misdeed?.do === "stall"
      ? start + misdeed.afterBytes
      : Infinity
    for await (const piece of piecesOf(blob, start, size)) {
      for (let offset = 0; offset < piece.length;) {
        const end = Math.min(piece.length, offset + PIECE_BYTES, offset + stopAt - at)
        if (end === offset) {
          if (misdeed?.do === "cut") response.destroy()
          return
        }
        const part = Buffer.from(piece.subarray(offset, end))
        if (misdeed?.do === "corrupt" && misdeed.at >= at && misdeed.at < at + part.length) {
          part[misdeed.at - at]! ^= 0xff
        }
        if (!await written(response, part)) return
        this.#sent.set(digest, (this.#sent.get(digest) ?? 0) + part.length)
        at += part.length
        offset = end
        if (misdeed?.do === "slow") await sleep(1000 * part.length / misdeed.bytesPerS)
      }
    }
    if (misdeed?.do === "lie") response.destroy()
    else response.end()
  }
}

function targetOf(url: URL, method: string): { kind: Kind; repository: string; name: string } {
  if (url.pathname === "/token") return { kind: "token", repository: "", name: "" }
  const upload = /^\/v2\/(.+)\/blobs\/uploads\//.exec(url.pathname)
  if (upload !== null) return { kind: "upload", repository: upload[1]!, name: method }
  const [, repository = "", kind = "", name = ""] =
    /^\/v2\/(.+)\/(manifests|referrers|blobs)\/([^/]+)$/.exec(url.pathname) ?? []
  if (repository === "") return { kind: "ping", repository: "", name: "" }
  const kinds = { manifests: "manifest", referrers: "referrers", blobs: "blob" } as const
  return { kind: kinds[kind as keyof typeof kinds], repository, name }
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = ""
  for await (const piece of request) text += String(piece)
  return text
}

const basic = ({ username, password }: { username: string; password: string }): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`

const json = (
  response: ServerResponse, status: number, body: unknown, type = "application/json",
): void => {
  response.writeHead(status, { "content-type": type }).end(JSON.stringify(body))
}

const fail = (response: ServerResponse, status: number, code: string, message: string): void =>
  json(response, status, { errors: [{ code, message }] })
