import { createCipheriv } from "node:crypto"
import { chmod, chown, link, mkdir, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { busyboxImage } from "./busybox.ts"
import { cached } from "./cache.ts"
import { assemble, type BuiltImage } from "./image.ts"
import { compress, tarOf } from "./layer.ts"

const MIB = 2 ** 20
const SMALL_FILES = 3000
const LARGE_FILES = 6

/** Bytes that nothing can compress, the same for the same number. */
const noise = (length: number, number: number): Buffer => {
  const iv = Buffer.alloc(16)
  iv.writeUInt32BE(number)
  return createCipheriv("aes-128-ctr", Buffer.alloc(16), iv).update(Buffer.alloc(length))
}

/**
 * An image to cut short: busybox, 12 MB of small files with all that a file can have, and above
 * them 24 MB in a few large ones, which replaces and deletes some of the small ones. About as much
 * to fetch, so that checkpoints fall into both.
 */
export const patchworkImage = (): Promise<BuiltImage> =>
  cached("patchwork", async (scratch, blobs) => {
    const { layers: [busybox] } = await busyboxImage()
    const [small, large] = [join(scratch, "small"), join(scratch, "large")]
    await smallFiles(small)
    await largeFiles(large)
    const layers = [
      busybox!,
      await compress(tarOf(small, true), blobs),
      await compress(tarOf(large, true), blobs),
    ]
    return assemble(layers, { Cmd: ["sh"] })
  })

const folderOf = (n: number): string => `data/folder-${n % 50}`

const smallFiles = async (tree: string): Promise<void> => {
  for (let n = 0; n < SMALL_FILES; n++) {
    const folder = join(tree, folderOf(n))
    const file = join(folder, `file-${n}`)
    await mkdir(folder, { recursive: true })
    await writeFile(file, noise((n * 37) % 8192, n))
    await chown(file, n % 7, n % 11)
    await chmod(file, [0o644, 0o600, 0o755, 0o4755, 0o2711][n % 5]!)
    if (n % 20 === 1) await link(file, join(folder, `again-${n}`))
    if (n % 20 === 2) await symlink(`file-${n - 2}`, join(folder, `link-${n}`))
  }
}

const largeFiles = async (tree: string): Promise<void> => {
  await mkdir(join(tree, "data/large"), { recursive: true })
  for (let n = 0; n < LARGE_FILES; n++) {
    await writeFile(join(tree, "data/large", `file-${n}`), noise(4 * MIB, SMALL_FILES + n))
  }
  for (let n = 0; n < SMALL_FILES; n += 100) {
    const folder = join(tree, folderOf(n))
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, `file-${n}`), noise(1000, 2 * SMALL_FILES + n))
    await writeFile(join(folder, `.wh.file-${n + 50}`), "")
  }
}
