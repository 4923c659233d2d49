import { createWriteStream } from "node:fs"
import { mkdir, rename, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { dockerBuilt, type Recipe } from "./builder.ts"
import { cached } from "./cache.ts"
import { needs, run } from "./command.ts"
import { debianImage } from "./debian.ts"
import type { BuiltImage } from "./image.ts"
import { uncompressed } from "./layer.ts"

/** One update of a device: what it has, and what it is to have. */
export interface DeltaCase {
  readonly name: CaseName
  readonly old: BuiltImage
  readonly new: BuiltImage
}

export const CASES = ["a", "b", "b2", "b3", "c"] as const
export type CaseName = (typeof CASES)[number]

/** What each case is about, in a few words. */
export const CASE_TITLES: Readonly<Record<CaseName, string>> = {
  a: "apt: one package more, all installed anew",
  b: "ghost 1.18.0 to 1.18.4, a directory for each version",
  b2: "ghost 1.18.0 to 1.18.4, in one place",
  b3: "ghost 0.11.10 to 0.11.11, in one place",
  c: "node 6.12.0 to 4.8.6, an express app on top",
}

const PACKAGES = ["curl", "git", "python3-minimal", "ca-certificates"]

const APP = { express: "4.16.2", "body-parser": "1.18.2", morgan: "1.9.0", lodash: "4.17.4" }

/**
 * Pairs of images as two real builds, days or minutes apart, make them of the same Dockerfile: one
 * layer of Debian (minbase) in common, all above it made independently, so that times differ where
 * a build sets them. apt keeps the times of its packages' files; npm gives every file a new one.
 * Only Debian's and npm's packages are in them.
 */
const RECIPES: Readonly<Record<CaseName, readonly [old: Recipe, next: Recipe]>> = {
  a: [debianPackages(PACKAGES), debianPackages([...PACKAGES, "jq"])],
  b: [versionedGhost("1.18.0"), versionedGhost("1.18.4")],
  b2: [ghostInPlace("1.18.0"), ghostInPlace("1.18.4")],
  b3: [ghostInPlace("0.11.10"), ghostInPlace("0.11.11")],
  c: [nodeWithApp("6.12.0", "3.10.10"), nodeWithApp("4.8.6", "2.15.11")],
}

/** Builds (once) both images of a case. Needs root, Debian's docker.io, npm and their mirrors. */
export const deltaCase = async (name: CaseName): Promise<DeltaCase> => {
  const [first, second] = RECIPES[name]
  const base = await cached("delta-base", (scratch, blobs) =>
    dockerBuilt(scratch, blobs, null, debianBase))
  const built = (side: string, recipe: Recipe) =>
    cached(`delta-${name}-${side}`, (scratch, blobs) => dockerBuilt(scratch, blobs, base, recipe))
  return { name, old: await built("old", first), new: await built("new", second) }
}

const debianBase: Recipe = async (context) => {
  const { layers: [layer] } = await debianImage("base")
  await pipeline(uncompressed(layer!), createWriteStream(join(context, "base.tar")))
  return ["ADD base.tar /"]
}

function debianPackages(names: readonly string[]): Recipe {
  return async () => [
    "ENV DEBIAN_FRONTEND=noninteractive LC_ALL=C",
    `RUN apt-get update && apt-get install -y --no-install-recommends ${names.join(" ")}\\
 && apt-get clean && rm -rf /var/lib/apt/lists/*`,
  ]
}

/** As ghost's official image has it: below `versions`, with a link to the current one. */
function versionedGhost(version: string): Recipe {
  return async (context) => {
    const ghost = join(context, "ghost")
    const installed = join(ghost, "versions", version)
    await mkdir(join(ghost, "versions"), { recursive: true })
    await installNpm(join(context, "npm"), { ghost: version })
    // The package is the root there, and what it depends on lies below it.
    const modules = join(context, "npm/node_modules")
    await rename(join(modules, "ghost"), installed)
    await rename(modules, join(installed, "node_modules"))
    await symlink(`versions/${version}`, join(ghost, "current"))
    return ["COPY ghost /var/lib/ghost"]
  }
}

function ghostInPlace(version: string): Recipe {
  return async (context) => {
    await installNpm(join(context, "ghost"), { ghost: version })
    return ["COPY ghost /usr/src/app"]
  }
}

/** Node and npm where their own archives put them, in one layer; the app in another. */
function nodeWithApp(node: string, npm: string): Recipe {
  return async (context) => {
    const [programs, local] = [join(context, "programs"), join(context, "local")]
    const platform = `node-linux-${process.arch}`
    await installNpm(programs, { [platform]: node, npm })
    await rename(join(programs, "node_modules", platform), local)
    await mkdir(join(local, "lib/node_modules"), { recursive: true })
    await rename(join(programs, "node_modules/npm"), join(local, "lib/node_modules/npm"))
    await symlink("../lib/node_modules/npm/bin/npm-cli.js", join(local, "bin/npm"))
    await installNpm(join(context, "app"), APP)
    return ["COPY local /usr/local", "COPY app /usr/src/app"]
  }
}

/**
 * Installs packages below a directory, with what they need to run. ghost 1.18 asks for one package
 * at an address that is no registry; npm's own release of it stands in.
 */
const installNpm = async (
  directory: string,
  dependencies: Readonly<Record<string, string>>,
): Promise<void> => {
  await needs("npm", "npm")
  await mkdir(directory)
  const overrides = { "brute-knex": "3.0.0" }
  const wanted = { private: true, dependencies, overrides }
  await writeFile(join(directory, "package.json"), JSON.stringify(wanted))
  const options = ["--ignore-scripts", "--omit=dev", "--omit=optional", "--no-audit", "--no-fund"]
  await run("npm", ["install", ...options], { cwd: directory })
}
