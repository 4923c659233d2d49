import { createWriteStream } from "node:fs"
import { pipeline } from "node:stream/promises"
import * as tar from "tar-stream"
import { imageId, type BuiltImage } from "./image.ts"
import { uncompressed } from "./layer.ts"

/**
 * Writes images as `docker load` reads them: manifest.json, each config, each layer's tar once
 * (Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset Format").
 */
export const writeArchive = async (
  path: string,
  images: readonly { readonly image: BuiltImage; readonly tags: readonly string[] }[],
): Promise<void> => {
  const pack = tar.pack()
  const writing = pipeline(pack, createWriteStream(path))
  const add = (name: string, bytes: Buffer) => pack.entry({ name, mtime: new Date(0) }, bytes)
  const written = new Set<string>()
  for (const { image } of images) {
    add(`${imageId(image).slice(7)}.json`, image.config)
    for (const layer of image.layers) {
      const name = layerName(layer.diffId)
      if (written.has(name)) continue
      written.add(name)
      let size = 0
      for await (const chunk of uncompressed(layer)) size += chunk.length
      await pipeline(uncompressed(layer), pack.entry({ name, size, mtime: new Date(0) }))
    }
  }
  const index = images.map(({ image, tags }) => ({
    Config: `${imageId(image).slice(7)}.json`,
    RepoTags: tags,
    Layers: image.layers.map((layer) => layerName(layer.diffId)),
  }))
  add("manifest.json", Buffer.from(JSON.stringify(index)))
  pack.finalize()
  await writing
}

const layerName = (diffId: string): string => `${diffId.slice(7)}/layer.tar`
