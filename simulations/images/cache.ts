import { mkdir, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { keep, kept, type BuiltImage } from "./image.ts"

/** Where built images are kept between runs: BALENA_IMAGES, or a directory of its own in /tmp. */
export const cacheDirectory = (): string =>
  process.env["BALENA_IMAGES"] ?? join(tmpdir(), "balena-engine-images")

/** Makes a directory of the cache and answers its path. */
export const cacheFolder = async (name: string): Promise<string> => {
  const path = join(cacheDirectory(), name)
  await mkdir(path, { recursive: true })
  return path
}

/**
 * An image that is built once and then found in the cache. `build` gets a scratch directory, which
 * is removed, and the one for layers' blobs, which is kept. Two builders at once both build, and
 * either result will do.
 */
export const cached = async (
  name: string,
  build: (scratch: string, layers: string) => Promise<BuiltImage>,
): Promise<BuiltImage> => {
  const layers = await cacheFolder("layers")
  const found = await kept(join(cacheDirectory(), name))
  if (found !== null) return found
  const scratch = await mkdtemp(join(cacheDirectory(), `.scratch-`))
  try {
    const image = await build(scratch, layers)
    await keep(join(cacheDirectory(), name), image)
    return image
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}
