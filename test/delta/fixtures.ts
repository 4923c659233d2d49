import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { type Base, DeltaError, type Sink } from "../../src/delta/base.ts"
import { noise } from "../layers/tarballs.ts"

/** Every file of an archive in `test/fixtures`, by its path. */
function filesOf(name: string): ReadonlyMap<string, Buffer> {
  const packed = readFileSync(new URL(`../fixtures/${name}.tar.gz`, import.meta.url))
  const tar = gunzipSync(packed)
  const files = new Map<string, Buffer>()
  for (let at = 0; tar[at] !== 0 && at < tar.length;) {
    const path = tar.toString("latin1", at, tar.indexOf(0, at))
    const size = Number.parseInt(tar.toString("latin1", at + 124, at + 135), 8)
    files.set(path, tar.subarray(at + 512, at + 512 + size))
    at += 512 + Math.ceil(size / 512) * 512
  }
  return files
}

/** The one image that `docker save` put into a fixture. */
export function imageOf(name: string): { readonly config: Buffer; readonly layers: Buffer[] } {
  const files = filesOf(name)
  const [image] = JSON.parse(files.get("manifest.json")!.toString())
  return {
    config: files.get(image.Config)!,
    layers: image.Layers.map((path: string) => files.get(path)!),
  }
}

export const inMemory = (bytes: Buffer): Base => ({
  size: bytes.length,
  read: (position, buffer) => bytes.copy(buffer, 0, position, position + buffer.length),
})

/** A sink that keeps what it is given. */
export function kept(): { readonly sink: Sink; readonly bytes: () => Buffer } {
  const parts: Buffer[] = []
  return {
    sink: (bytes, start, end) => void parts.push(Buffer.from(bytes.subarray(start, end))),
    bytes: () => Buffer.concat(parts),
  }
}

/** Bytes that cannot be compressed, the same for the same seed. */
export const random = (length: number, seed: number): Buffer => Buffer.from(noise(length, seed))

/** What a failure says; nothing if there was none. */
export function told(work: () => unknown): string {
  try {
    work()
    return ""
  } catch (error) {
    if (!(error instanceof DeltaError)) throw error
    return error.message
  }
}
