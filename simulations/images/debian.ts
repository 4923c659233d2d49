import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { cached } from "./cache.ts"
import { needs, run } from "./command.ts"
import { assemble, type BuiltImage, type BuiltLayer } from "./image.ts"
import { compress, spellWhiteouts, tarOf } from "./layer.ts"

const SUITE = "bookworm"
const MIRROR = "http://deb.debian.org/debian"

/**
 * Debian images of several layers, made by debootstrap and apt, each on top of the one before:
 *
 * | name    | packages on top | files  | their bytes | gzip blobs |
 * |---------|-----------------|--------|-------------|------------|
 * | `base`  | none (minbase)  | 5,200  | 117 MB      | 49 MB      |
 * | `tools` | python3, git    | 9,400  | 260 MB      | 103 MB     |
 * | `bench` | python3-django  | 13,900 | 290 MB      | 111 MB     |
 * | `large` | an icon theme   | 20,200 | 325 MB      | 144 MB     |
 */
const STEPS = [
  { name: "base", packages: [] },
  { name: "tools", packages: ["python3", "git"] },
  { name: "bench", packages: ["python3-django"] },
  { name: "large", packages: ["oxygen-icon-theme"] },
] as const

export type DebianImage = (typeof STEPS)[number]["name"]

/** Builds (once) all layers up to this image's, and answers it. Needs root and a Debian mirror. */
export const debianImage = async (name: DebianImage): Promise<BuiltImage> => {
  const all = await cached("debian", buildLayers)
  const depth = STEPS.findIndex((step) => step.name === name) + 1
  return assemble(all.layers.slice(0, depth), { Cmd: ["/bin/bash"] })
}

const buildLayers = async (scratch: string, blobs: string): Promise<BuiltImage> => {
  await needs("debootstrap", "debootstrap")
  const layers: BuiltLayer[] = []
  const lower: string[] = []
  for (const [index, { packages }] of STEPS.entries()) {
    const tree = join(scratch, String(index))
    if (packages.length === 0) await bootstrap(tree)
    else await install(tree, lower, packages, scratch)
    layers.push(await compress(tarOf(tree), blobs))
    lower.unshift(tree)
  }
  return assemble(layers, { Cmd: ["/bin/bash"] })
}

const bootstrap = async (tree: string): Promise<void> => {
  await run("debootstrap", ["--variant=minbase", SUITE, tree, MIRROR])
  await tidy(tree)
}

/** What apt leaves behind and no image carries. */
const tidy = async (tree: string): Promise<void> => {
  const caches = ["var/cache/apt", "var/lib/apt/lists", "var/log", "tmp"]
  for (const path of caches) {
    await rm(join(tree, path), { recursive: true, force: true })
    await mkdir(join(tree, path), { recursive: true })
  }
  await chmod(join(tree, "tmp"), 0o1777)
}

const install = async (
  upper: string,
  lower: readonly string[],
  packages: readonly string[],
  scratch: string,
): Promise<void> => {
  const [work, merged] = [join(scratch, "work"), join(scratch, "merged")]
  for (const directory of [upper, work, merged]) await mkdir(directory, { recursive: true })
  const options = `lowerdir=${lower.join(":")},upperdir=${upper},workdir=${work},redirect_dir=off`
  await run("mount", ["-t", "overlay", "-o", options, "overlay", merged])
  try {
    await writeFile(join(merged, "etc/resolv.conf"), await readFile("/etc/resolv.conf"))
    await mkdir(join(merged, "var/cache/apt/archives/partial"), { recursive: true })
    const env = { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" }
    await run("chroot", [merged, "apt-get", "update"], { env })
    const quiet = ["-y", "--no-install-recommends"]
    await run("chroot", [merged, "apt-get", "install", ...quiet, ...packages], { env })
    await tidy(merged)
    await writeFile(join(merged, "etc/resolv.conf"), "")
  } finally {
    await run("umount", [merged])
    await rm(work, { recursive: true, force: true })
  }
  await spellWhiteouts(upper)
}
