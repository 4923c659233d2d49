import { copyFile, mkdir, open, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { cached } from "./cache.ts"
import { needs, run } from "./command.ts"
import { assemble, type BuiltImage, type BuiltLayer } from "./image.ts"
import { compress, tarOf, type Compression } from "./layer.ts"

const BUSYBOX = "/bin/busybox"

/** An image of busybox alone: 2 MB, a shell and its tools. Needs Debian's busybox-static. */
export const busyboxImage = (compression: Compression = "gzip"): Promise<BuiltImage> =>
  cached(`busybox-${compression}`, async (scratch, blobs) =>
    assemble([await busyboxLayer(scratch, blobs, compression)], { Cmd: ["sh"] }))

const busyboxLayer = async (
  scratch: string,
  blobs: string,
  compression: Compression,
): Promise<BuiltLayer> => {
  await needs("busybox", "busybox-static")
  const tree = join(scratch, "busybox")
  for (const directory of ["bin", "etc", "root", "tmp", "usr/bin", "var"]) {
    await mkdir(join(tree, directory), { recursive: true })
  }
  await copyFile(BUSYBOX, join(tree, "bin/busybox"))
  for (const applet of (await run(BUSYBOX, ["--list"])).trim().split("\n")) {
    if (applet !== "busybox") await symlink("busybox", join(tree, "bin", applet))
  }
  await writeFile(join(tree, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")
  await writeFile(join(tree, "etc/group"), "root:x:0:\n")
  return compress(tarOf(tree, true), blobs, compression)
}

const MIB = 2 ** 20

/** The parts of the demonstration's image, in pieces, and where in the interpreter they are. */
const LIBRARIES = { name: "usr/lib/app", from: 17, count: 11 }
const DATA = { name: "app/data", from: 0, count: 12 }
const PROGRAM = { name: "app/bin", from: 12, count: 5 }
const PIECES = 28

/** gzip's: these are made on the spot, and somebody is waiting. */
const QUICK = 1

/**
 * Two versions of one application, `sizeMiB` each when unpacked, from files at hand: busybox, and
 * pieces of this program's own interpreter standing for libraries, data and program. v2 keeps the
 * libraries and has a few other bytes in data and program. A container prints `I am v1` and stays.
 */
export const demoImages = async (
  sizeMiB = 140,
): Promise<{ readonly v1: BuiltImage; readonly v2: BuiltImage }> => {
  const bytes = Math.floor((sizeMiB * MIB) / PIECES)
  const v1 = await cached(`demo-${sizeMiB}-v1`, async (scratch, blobs) => {
    const busybox = await busyboxLayer(scratch, blobs, "gzip")
    await writePieces(join(scratch, "libraries"), LIBRARIES, bytes, false)
    const libraries = await compress(tarOf(join(scratch, "libraries"), true), blobs, "gzip", QUICK)
    return application([busybox, libraries], "v1", scratch, blobs, bytes)
  })
  const v2 = await cached(`demo-${sizeMiB}-v2`, (scratch, blobs) =>
    application(v1.layers.slice(0, 2), "v2", scratch, blobs, bytes))
  return { v1, v2 }
}

/** An image of one version: the layers below it, its data, its program. */
const application = async (
  below: readonly BuiltLayer[],
  version: "v1" | "v2",
  scratch: string,
  blobs: string,
  bytes: number,
): Promise<BuiltImage> => {
  const [data, program] = [join(scratch, "data"), join(scratch, "program")]
  await writePieces(data, DATA, bytes, version === "v2")
  await writePieces(program, PROGRAM, bytes, version === "v2")
  const script = `#!/bin/sh\necho I am ${version}\nexec sleep 1000000\n`
  await writeFile(join(program, "app/start"), script, { mode: 0o755 })
  const own = await Promise.all([data, program].map((tree) =>
    compress(tarOf(tree, true), blobs, "gzip", QUICK)))
  return assemble([...below, ...own], { Cmd: ["/app/start"] })
}

/**
 * Writes pieces of the interpreter this runs on into a tree: real machine code and tables, a good
 * stand-in for a real program.
 */
const writePieces = async (
  tree: string,
  { name, from, count }: typeof DATA,
  bytes: number,
  changes: boolean,
): Promise<void> => {
  const directory = join(tree, name)
  await mkdir(directory, { recursive: true })
  await using file = await open(process.execPath)
  const stride = Math.floor((await file.stat()).size / PIECES)
  for (let piece = 0; piece < count; piece++) {
    const content = Buffer.alloc(bytes)
    await file.read(content, 0, bytes, (from + piece) * stride)
    if (changes && piece % 6 === 1) content.copyWithin(bytes >> 1, 0, bytes >> 5)
    await writeFile(join(directory, `piece-${piece}`), content)
  }
}
