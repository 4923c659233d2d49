import { request } from "node:http"
import { type LayerMake, type MadeImage, putImage } from "../../simulations/world/image-maker.ts"
import type { EmbeddedRegistry } from "../../simulations/world/registry.ts"
import { noise, tarball } from "../layers/tarballs.ts"
import type { Engine } from "./engine.ts"

export interface Line {
  readonly status?: string
  readonly id?: string
  readonly error?: string
  readonly errorDetail?: { readonly message: string }
  readonly message?: string
}

/** What a client heard of a pull. */
export interface Heard {
  readonly status: number
  readonly lines: readonly Line[]
}

/** A pull as a client sees it while it goes on. */
export interface Pulling extends AsyncIterable<Line> {
  readonly status: number
  /** Closes the connection. */
  readonly leave: () => void
}

export interface PullOptions {
  readonly credentials?: Readonly<Record<string, string>>
  /** As it is, for what is no JSON. */
  readonly authHeader?: string
  readonly platform?: string
}

/** As Docker's CLI encodes credentials: base64url with its padding. */
export const encoded = (json: unknown): string =>
  Buffer.from(JSON.stringify(json)).toString("base64").replaceAll("+", "-").replaceAll("/", "_")

/** Begins a pull; returns with the status. `reference` is `host/name:tag` or `host/name@digest`. */
export const beginPull = (
  { place }: Engine,
  reference: string,
  { credentials, authHeader, platform }: PullOptions = {},
): Promise<Pulling> =>
  new Promise((resolve, reject) => {
    const at = reference.includes("@") ? reference.indexOf("@") : reference.lastIndexOf(":")
    const query = new URLSearchParams({
      fromImage: reference.slice(0, at),
      tag: reference.slice(at + 1),
      ...(platform !== undefined && { platform }),
    })
    const header = credentials === undefined ? authHeader : encoded(credentials)
    const asked = request({
      socketPath: place.socket,
      method: "POST",
      path: `/v1.41/images/create?${query}`,
      headers: header === undefined ? {} : { "x-registry-auth": header },
    }, (answer) =>
      resolve({
        status: answer.statusCode ?? 0,
        leave: () => asked.destroy(),
        async *[Symbol.asyncIterator]() {
          let rest = ""
          for await (const chunk of answer.setEncoding("utf8")) {
            const lines = (rest + chunk).split("\n")
            rest = lines.pop() ?? ""
            yield* lines.filter((line) => line.trim() !== "").map((line) => JSON.parse(line))
          }
        },
      }))
    asked.on("error", reject)
    asked.end()
  })

/** Pulls to the end, whatever it is. */
export const pull = async (engine: Engine, reference: string, options?: PullOptions) => {
  const pulling = await beginPull(engine, reference, options)
  const lines: Line[] = []
  for await (const line of pulling) lines.push(line)
  return { status: pulling.status, lines } satisfies Heard
}

/** Why a pull failed: an HTTP error's message, or the error in its stream; null: it did not. */
export const errorIn = ({ lines }: Heard): string | null => {
  const last = lines.at(-1)
  return last?.message ?? last?.error ?? null
}

let made = 0

/** Layers that no other test has. */
export const someLayers = (...bytes: readonly number[]): readonly LayerMake[] =>
  bytes.map((length) => {
    const seed = ++made
    const content = noise(length, seed)
    return { tar: tarball({ path: `file-${seed}`, content }), compression: "gzip" }
  })

/** A small image of its own as `app:1`: two layers, 300 and 100 kB. */
export const putApp = (
  registry: EmbeddedRegistry,
  layers = someLayers(300_000, 100_000),
): MadeImage =>
  putImage(registry, { repository: "app", tags: ["1"], layers, dialect: "docker" })

const OLD = noise(400_000, 1)
const SAME = tarball({ path: "same", content: noise(50_000, 2) })
const gzip = (tar: Buffer): LayerMake => ({ tar, compression: "gzip" })
/**
 * The layers of an image and of its update: two each, of which the upper one differs in a few bytes
 * and one new file.
 */
export const UPDATE = {
  1: [gzip(SAME), gzip(tarball({ path: "big", content: OLD }))],
  2: [
    gzip(SAME),
    gzip(tarball(
      { path: "big", content: Buffer.concat([OLD.subarray(0, 1000), OLD.subarray(990)]) },
      { path: "new", content: "hello" },
    )),
  ],
}

/** What a pull says that takes a delta. */
export const USES_DELTA = /^Pulling a delta of [\d.]+k?B against [0-9a-f]{12}$/
