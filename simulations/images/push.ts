import { createReadStream } from "node:fs"
import { request, type IncomingHttpHeaders } from "node:http"
import type { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { manifestType, sha256, type BuiltImage } from "./image.ts"

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

const ask = (
  method: string,
  url: URL,
  headers: Readonly<Record<string, string | number>> = {},
  body?: Readable | Buffer,
) =>
  new Promise<Answer>((resolve, reject) => {
    const asked = request(url, { method, headers }, (answer) => {
      let text = ""
      answer.setEncoding("utf8").on("data", (data: string) => (text += data))
      answer.on("end", () =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: text }))
      answer.on("error", reject)
    })
    asked.on("error", reject)
    if (body === undefined || Buffer.isBuffer(body)) asked.end(body)
    else pipeline(body, asked).catch(reject)
  })

const expect = (answer: Answer, status: number, what: string): Answer => {
  if (answer.status === status) return answer
  throw new Error(`${what}: the registry answered ${answer.status}: ${answer.body.slice(0, 300)}`)
}

/** Uploads one blob in one piece, unless the registry has it (OCI distribution specification). */
const pushBlob = async (
  root: URL,
  digest: string,
  size: number,
  body: () => Readable | Buffer,
): Promise<void> => {
  const head = await ask("HEAD", new URL(`blobs/${digest}`, root))
  if (head.status === 200) return
  const begun = expect(await ask("POST", new URL("blobs/uploads/", root)), 202, "an upload")
  const place = new URL(begun.headers.location ?? "", root)
  place.searchParams.set("digest", digest)
  const headers = { "content-type": "application/octet-stream", "content-length": size }
  expect(await ask("PUT", place, headers, body()), 201, `blob ${digest}`)
}

/** One image of a list: where it runs. */
export interface Offer {
  readonly image: BuiltImage
  readonly platform: Readonly<Record<string, string>>
}

/** Pushes a list of images that have been pushed to this repository; answers its digest. */
export const pushList = async (
  offers: readonly Offer[],
  mediaType: string,
  host: string,
  repository: string,
  tag: string,
): Promise<string> => {
  const list = Buffer.from(JSON.stringify({
    schemaVersion: 2,
    mediaType,
    manifests: offers.map(({ image, platform }) => ({
      mediaType: manifestType(image),
      digest: sha256(image.manifest),
      size: image.manifest.length,
      platform,
    })),
  }))
  const headers = { "content-type": mediaType, "content-length": list.length }
  const url = new URL(`http://${host}/v2/${repository}/manifests/${tag}`)
  expect(await ask("PUT", url, headers, list), 201, `list ${tag}`)
  return sha256(list)
}

/**
 * Pushes an image to a registry that speaks plain HTTP and asks no credentials; answers the
 * manifest's digest. `host` is `127.0.0.1:5000`, `repository` `library/debian`.
 */
export const push = async (
  image: BuiltImage,
  host: string,
  repository: string,
  tag: string,
): Promise<string> => {
  const root = new URL(`http://${host}/v2/${repository}/`)
  for (const layer of image.layers) {
    await pushBlob(root, layer.digest, layer.size, () => createReadStream(layer.path))
  }
  await pushBlob(root, sha256(image.config), image.config.length, () => image.config)
  const headers = {
    "content-type": manifestType(image),
    "content-length": image.manifest.length,
  }
  const put = await ask("PUT", new URL(`manifests/${tag}`, root), headers, image.manifest)
  expect(put, 201, `manifest ${tag}`)
  return sha256(image.manifest)
}
