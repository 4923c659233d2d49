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

/**
 * Two versions of one application, about 150 MB each, from files at hand: busybox, 85 MB of this
 * program's own interpreter standing for libraries, and the application's layer of 60 MB, which is
 * all that v2 changes: two regions of it, and its version. A container prints `I am v1` and stays.
 */
export const demoImages = async (): Promise<Readonly<Record<"v1" | "v2", BuiltImage>>> => ({
  v1: await demoImage("v1"),
  v2: await demoImage("v2"),
})

const demoImage = (version: "v1" | "v2"): Promise<BuiltImage> =>
  cached(`demo-${version}`, async (scratch, blobs) => {
    const busybox = await busyboxLayer(scratch, blobs, "gzip")
    const libraries = join(scratch, "libraries")
    await mkdir(join(libraries, "usr/lib/app"), { recursive: true })
    for (let piece = 0; piece < 17; piece++) {
      const name = join(libraries, "usr/lib/app", `library-${piece}.so`)
      await writeFile(name, await interpreter(piece * 5 * MIB, 5 * MIB))
    }
    const library = await compress(tarOf(libraries, true), blobs)
    const tree = await applicationTree(scratch, version)
    const application = await compress(tarOf(tree, true), blobs)
    return assemble([busybox, library, application], { Cmd: ["/app/start"] })
  })

/** Part of the interpreter this runs on: real machine code, a good stand-in for a real program. */
const interpreter = async (offset: number, length: number): Promise<Buffer> => {
  const file = await open(process.execPath)
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, offset)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

const applicationTree = async (scratch: string, version: string): Promise<string> => {
  const tree = join(scratch, `application-${version}`)
  await mkdir(join(tree, "app"), { recursive: true })
  for (let piece = 0; piece < 12; piece++) {
    const bytes = await interpreter(88 * MIB + piece * 5 * MIB, 5 * MIB)
    const changed = version === "v2" && piece % 6 === 1
    if (changed) bytes.copy(bytes, 2 * MIB, 3 * MIB, 3 * MIB + 200_000)
    await writeFile(join(tree, "app", `module-${piece}.bin`), bytes)
  }
  await writeFile(join(tree, "app/version"), `${version}\n`)
  const script = `#!/bin/sh\necho I am ${version}\nexec sleep 1000000\n`
  await writeFile(join(tree, "app/start"), script, { mode: 0o755 })
  return tree
}
