import { createHash } from "node:crypto"
import { spawn } from "node:child_process"
import { createReadStream, createWriteStream } from "node:fs"
import { lstat, readdir, rename, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { PassThrough, Transform, type Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import * as zlib from "node:zlib"
import type { BuiltLayer } from "./image.ts"
import { bind } from "../../src/kernel/libc.ts"

export type Compression = "gzip" | "zstd" | "none"

const MEDIA_TYPES: Readonly<Record<Compression, string>> = {
  gzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  zstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  none: "application/vnd.oci.image.layer.v1.tar",
}

const measure = (seen: (bytes: number, digest: string) => void): Transform => {
  const hash = createHash("sha256")
  let bytes = 0
  return new Transform({
    transform(chunk: Buffer, _, done) {
      bytes += chunk.length
      hash.update(chunk)
      done(null, chunk)
    },
    flush(done) {
      seen(bytes, `sha256:${hash.digest("hex")}`)
      done()
    },
  })
}

const compressor = (compression: Compression, level: number) =>
  compression === "gzip" ? zlib.createGzip({ level }) : zlib.createZstdCompress()

/**
 * Compresses a tar into `directory`, under the name of its digest, and says what it is. `level` is
 * gzip's: what Docker's builder takes, or less where somebody waits for it.
 */
export const compress = async (
  tar: Readable,
  directory: string,
  compression: Compression = "gzip",
  level = 6,
): Promise<BuiltLayer> => {
  const partial = join(directory, `partial-${process.pid}-${performance.now()}`)
  let diffId = ""
  let digest = ""
  let size = 0
  const first = measure((_, found) => (diffId = found))
  const last = measure((bytes, found) => {
    size = bytes
    digest = found
  })
  if (compression === "none") await pipeline(tar, first, last, createWriteStream(partial))
  else await pipeline(tar, first, compressor(compression, level), last, createWriteStream(partial))
  const path = join(directory, digest.slice(7))
  await rename(partial, path)
  return { path, digest, size, diffId, mediaType: MEDIA_TYPES[compression] }
}

/** Reads a layer's tar, whatever its compression. */
export const uncompressed = (layer: BuiltLayer): Readable => {
  const blob = createReadStream(layer.path)
  if (layer.mediaType === MEDIA_TYPES.none) return blob
  const inflate = layer.mediaType === MEDIA_TYPES.zstd
    ? zlib.createZstdDecompress()
    : zlib.createGunzip()
  blob.on("error", (fault) => inflate.destroy(fault))
  return blob.pipe(inflate)
}

/**
 * The tar of a directory tree, as image builders write it: names sorted, numeric owners, whole
 * seconds, file capabilities kept, PAX records only where they are needed. `sameTimes` gives every
 * entry one modification time, so that equal trees give equal layers.
 */
export const tarOf = (directory: string, sameTimes = false): Readable => {
  const child = spawn("tar", [
    "--create", "--directory", directory, "--sort=name", "--numeric-owner", "--format=posix",
    "--pax-option=delete=atime,delete=ctime,delete=mtime", "--xattrs",
    "--xattrs-include=security.capability", "--xattrs-include=user.*", "--one-file-system",
    ...(sameTimes ? ["--mtime=2025-01-01 00:00:00Z"] : []), ".",
  ], { stdio: ["ignore", "pipe", "pipe"] })
  const tar = new PassThrough()
  let said = ""
  child.stderr.on("data", (data: Buffer) => (said += data))
  child.stdout.pipe(tar, { end: false })
  child.on("close", (code) => {
    if (code === 0) tar.end()
    else tar.destroy(new Error(`tar of ${directory}: ${said.slice(-500)}`))
  })
  return tar
}

const lgetxattr = bind(
  "int64_t lgetxattr(const char *path, const char *name, _Out_ void *value, size_t size)",
)
const isOpaque = (path: string): boolean =>
  lgetxattr(path, "trusted.overlay.opaque", Buffer.alloc(8), 8) > 0

/**
 * Turns an overlay's upper directory into what a layer's tar holds: a 0/0 device becomes the empty
 * file `.wh.<name>`, an opaque directory gets `.wh..wh..opq` (OCI image layer specification,
 * "Whiteouts").
 */
export const spellWhiteouts = async (directory: string): Promise<void> => {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) {
      if (isOpaque(path)) await writeFile(join(path, ".wh..wh..opq"), "")
      await spellWhiteouts(path)
    } else if (entry.isCharacterDevice() && (await lstat(path)).rdev === 0) {
      await rm(path)
      await writeFile(join(directory, `.wh.${entry.name}`), "")
    }
  }
}
