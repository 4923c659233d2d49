import type { IncomingMessage, ServerResponse } from "node:http"
import { digestOf } from "../../src/oci/digest.ts"

/** What befalls the sending of a blob. */
export type UploadMisdeed =
  /** The connection breaks after so many bytes of a body, which are kept. */
  | { readonly do: "cut"; readonly afterBytes: number }
  /** The same; what had come of that body is lost. */
  | { readonly do: "drop"; readonly afterBytes: number }

interface Session {
  bytes: Buffer
}

/** Where blobs that are complete go to, and whether one is there to be mounted. */
export interface BlobStore {
  readonly keep: (bytes: Uint8Array) => string
  readonly has: (digest: string) => boolean
}

const refuse = (response: ServerResponse, status: number, code: string): void => {
  response.writeHead(status, { "content-type": "application/json" })
    .end(JSON.stringify({ errors: [{ code, message: code.toLowerCase() }] }))
}

/** Reads a body, up to where it is cut; answers what has come, and whether that is all. */
const bodyOf = async (request: IncomingMessage, most: number) => {
  const pieces: Buffer[] = []
  let length = 0
  try {
    for await (const piece of request as AsyncIterable<Buffer>) {
      pieces.push(piece.subarray(0, most - length))
      length += piece.length
      if (length >= most) break
    }
  } catch {
    most = 0 // the client has gone
  }
  return { bytes: Buffer.concat(pieces), isWhole: length < most }
}

/** The writing half of the distribution specification, for blobs ("Pushing blobs"). */
export class Uploads {
  readonly #store: BlobStore
  readonly #sessions = new Map<string, Session>()
  #begun = 0
  /** Bytes of bodies, kept or not. */
  received = 0

  constructor(store: BlobStore) {
    this.#store = store
  }

  /** Answers one request; `path` is that of the upload, or of all uploads of the repository. */
  async serve(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    misdeed: UploadMisdeed | null,
  ): Promise<void> {
    const id = url.pathname.split("/").at(-1)!
    const session = this.#sessions.get(id)
    if (request.method === "POST") {
      if (misdeed === null) return this.#begin(response, url)
      request.socket.destroy()
      return
    }
    if (session === undefined) return refuse(response, 404, "BLOB_UPLOAD_UNKNOWN")
    if (request.method === "GET") return this.#stand(response, url, session, 204)
    const before = session.bytes
    const { socket } = request // which a body that is not read to its end takes leave of
    const { bytes, isWhole } = await bodyOf(request, misdeed?.afterBytes ?? Infinity)
    this.received += bytes.length
    const from = /^(\d+)-/.exec(request.headers["content-range"] ?? "")?.[1]
    if (from !== undefined && Number(from) !== before.length) {
      return refuse(response, 416, "RANGE_INVALID")
    }
    if (misdeed?.do !== "drop") session.bytes = Buffer.concat([before, bytes])
    if (!isWhole) {
      socket.destroy()
      return
    }
    if (request.method === "PATCH") return this.#stand(response, url, session, 202)
    this.#sessions.delete(id)
    const digest = url.searchParams.get("digest")
    if (digestOf(session.bytes) !== digest) return refuse(response, 400, "DIGEST_INVALID")
    this.#store.keep(session.bytes)
    response.writeHead(201, { "docker-content-digest": digest }).end()
  }

  #begin(response: ServerResponse, url: URL): void {
    const mount = url.searchParams.get("mount")
    if (mount !== null && this.#store.has(mount)) {
      response.writeHead(201, { "docker-content-digest": mount }).end()
      return
    }
    const id = `upload-${++this.#begun}`
    this.#sessions.set(id, { bytes: Buffer.alloc(0) })
    response.writeHead(202, { location: `${url.pathname}${id}`, range: "0-0" }).end()
  }

  #stand(response: ServerResponse, url: URL, { bytes }: Session, status: number): void {
    const range = `0-${Math.max(0, bytes.length - 1)}`
    response.writeHead(status, { location: url.pathname, range }).end()
  }
}
