import { createHash } from "node:crypto"
import { posix } from "node:path"
import type { Readable } from "node:stream"
import * as tar from "tar-stream"
import { sha256 } from "../images/image.ts"

/** What an image archive turned out to hold: everything in it has been hashed. */
export interface Verified {
  readonly imageId: string
  readonly layers: number
  /** Bytes of the layers' tars. */
  readonly bytes: number
}

interface ManifestRow {
  readonly Config: string
  readonly Layers: readonly string[]
}

interface File {
  readonly digest: string
  readonly bytes: number
  /** Empty for all but small files: those that may be JSON. */
  readonly text: string
}

const SMALL = 2 ** 20

const readFile = async (body: AsyncIterable<Buffer>, isSmall: boolean): Promise<File> => {
  const hash = createHash("sha256")
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    hash.update(chunk)
    bytes += chunk.length
    if (isSmall) chunks.push(chunk)
  }
  const digest = `sha256:${hash.digest("hex")}`
  return { digest, bytes, text: Buffer.concat(chunks).toString() }
}

/**
 * Reads an archive of one image, as `docker save` writes it, and checks every byte of it: each
 * layer's tar hashes to the diff ID that the config names, and the config to the image ID. Throws
 * what is wrong. Nothing is kept but small files and digests.
 */
export const verifyArchive = async (archive: Readable): Promise<Verified> => {
  const files = new Map<string, File>()
  const links = new Map<string, string>()
  const extract = tar.extract()
  archive.on("error", (fault) => extract.destroy(fault))
  archive.pipe(extract)
  for await (const entry of extract) {
    const { name, type, linkname, size } = entry.header
    if (type === "symlink") links.set(name, posix.join(posix.dirname(name), linkname ?? ""))
    const body = entry as unknown as AsyncIterable<Buffer>
    const file = await readFile(body, (size ?? 0) < SMALL)
    if (type === "file") files.set(name, file)
  }
  const fileAt = (name: string) => {
    const file = files.get(links.get(name) ?? name)
    if (file === undefined) throw new Error(`the archive lacks ${name}`)
    return file
  }
  const [row] = JSON.parse(fileAt("manifest.json").text) as readonly ManifestRow[]
  if (row === undefined) throw new Error("the archive holds no image")
  return checked(fileAt(row.Config).text, row.Layers.map(fileAt))
}

const checked = (
  config: string,
  layers: readonly { readonly digest: string; readonly bytes: number }[],
): Verified => {
  const { rootfs } = JSON.parse(config) as { rootfs: { diff_ids: readonly string[] } }
  for (const [index, diffId] of rootfs.diff_ids.entries()) {
    const found = layers[index]?.digest
    if (found !== diffId) throw new Error(`layer ${index} is ${found}, it should be ${diffId}`)
  }
  if (layers.length !== rootfs.diff_ids.length) throw new Error("the archive has other layers")
  return {
    imageId: sha256(config),
    layers: layers.length,
    bytes: layers.reduce((sum, layer) => sum + layer.bytes, 0),
  }
}
