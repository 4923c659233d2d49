import { createReadStream } from "node:fs"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { dockerDone } from "../bench/engines/docker.ts"
import { dockerd } from "../bench/engines/dockerd.ts"
import { startDaemon } from "../bench/engines/engine.ts"
import { openRig } from "../powercut/rig.ts"
import { writeArchive } from "./archive.ts"
import { needs, run } from "./command.ts"
import { assemble, type BuiltImage, type BuiltLayer } from "./image.ts"
import { compress } from "./layer.ts"

const BASE = "base:latest"
const BUILT = "built:latest"

/** Fills a directory with what is to be copied, and answers a Dockerfile's lines after its FROM. */
export type Recipe = (context: string) => Promise<readonly string[]>

/**
 * Builds an image with a dockerd that lives as long as that takes: its layers are, byte for byte,
 * those of a `docker build` (Go's tar: names without `./`, PAX records, times cut to seconds). On
 * top of `base`, or from nothing. Needs root and Debian's docker.io.
 */
export const dockerBuilt = async (
  scratch: string,
  blobs: string,
  base: BuiltImage | null,
  recipe: Recipe,
): Promise<BuiltImage> => {
  const why = await dockerd.missing()
  if (why !== null) throw new Error(why)
  await needs("docker", "docker.io")
  const context = join(scratch, "context")
  await mkdir(context)
  const from = base === null ? "scratch" : BASE
  const steps = await recipe(context)
  await writeFile(join(context, "Dockerfile"), [`FROM ${from}`, ...steps, ""].join("\n"))
  await using rig = await openRig()
  const dataRoot = join(scratch, "docker")
  await using daemon = await startDaemon(rig, dockerd, { name: "builder", dataRoot })
  if (base !== null) {
    const archive = join(scratch, "base.tar")
    await writeArchive(archive, [{ image: base, tags: [BASE] }])
    await dockerDone(daemon.socket, ["load", "--quiet", "--input", archive])
  }
  // The builder within dockerd: BuildKit's would not be the one that Debian's daemon has.
  await run("docker", [
    "--host", `unix://${daemon.socket}`, "build", "--network=host", "--tag", BUILT, context,
  ], { env: { DOCKER_BUILDKIT: "0", DOCKER_CONFIG: "/nonexistent" } })
  const saved = join(scratch, "saved")
  await mkdir(saved)
  await dockerDone(daemon.socket, ["save", "--output", `${saved}.tar`, BUILT])
  await run("tar", ["--extract", "--file", `${saved}.tar`, "--directory", saved])
  await daemon.stop()
  const below = base?.layers ?? []
  const added = await changedLayers(saved, below.length, blobs)
  return assemble([...below, ...added], { Cmd: ["/bin/bash"] })
}

/** The layers of a saved image above its lowest ones, compressed. */
const changedLayers = async (
  saved: string,
  below: number,
  blobs: string,
): Promise<readonly BuiltLayer[]> => {
  const [image] = JSON.parse(await readFile(join(saved, "manifest.json"), "utf8")) as [
    { readonly Layers: readonly string[] },
  ]
  const layers: BuiltLayer[] = []
  for (const path of image.Layers.slice(below)) {
    layers.push(await compress(createReadStream(join(saved, path)), blobs))
  }
  return layers
}
