import { MEDIA } from "../../../src/oci/manifest.ts"
import { type BuiltImage, imageId, sha256 } from "../../images/image.ts"
import type { DeltaCase } from "../../images/delta-cases.ts"
import { push } from "../../images/push.ts"
import { askJson, dockerDone, posted } from "../engines/docker.ts"

/** How the difference travels: balenaEngine's format, or this engine's own. */
export const FORMATS = ["v3", "own"] as const
export type Format = (typeof FORMATS)[number]
/** What a device pulls: the new image's layers, or one of the two instead. */
export const WAYS = ["layers", ...FORMATS] as const
export type Way = (typeof WAYS)[number]

/** Where a delta's manifest names the image that it is made against. */
const BASE_NOTE = "io.balena.delta.base"

/**
 * A case in the registry: the new image is in a repository for each way, as a delta that is pushed
 * beside it is found by whoever pulls it.
 */
export interface Offered {
  readonly pair: DeltaCase
  readonly host: string
}

export const offer = async (pair: DeltaCase, host: string): Promise<Offered> => {
  const offered = { pair, host }
  for (const way of WAYS) {
    await push(pair.old, host, repositoryOf(offered, way), "old")
    await push(pair.new, host, repositoryOf(offered, way), "new")
  }
  return offered
}

/** The repository from which a device pulls. */
export const repositoryOf = ({ pair }: Offered, way: Way): string =>
  `bench/delta-${pair.name}-${way}`

/** The new image: what a device pulls that has the old one, and finds the delta by itself. */
export const referenceOf = (offered: Offered, way: Way): string =>
  `${offered.host}/${repositoryOf(offered, way)}:new`

/** The delta's own tag: a device that finds it by itself needs none. */
const deltaReference = (offered: Offered, format: Format): string =>
  `${offered.host}/${repositoryOf(offered, format)}:${format}`

/** The image that the device has before. */
export const oldReference = (offered: Offered): string =>
  `${offered.host}/${repositoryOf(offered, "layers")}:old`

/** Has an engine that holds both images make the delta; throws what it says against it. */
export const makeDelta = (
  socket: string,
  offered: Offered,
  format: Format,
): Promise<void> => {
  const query = new URLSearchParams({
    src: oldReference(offered),
    dest: referenceOf(offered, format),
    t: deltaReference(offered, format),
    format: format === "own" ? "framed" : "rsync",
  })
  return posted(socket, `/images/delta?${query}`)
}

/** Sends the delta that has been made to the registry, and forgets it. */
export const shipDelta = async (
  socket: string,
  offered: Offered,
  format: Format,
): Promise<void> => {
  const reference = deltaReference(offered, format)
  await dockerDone(socket, ["push", "--quiet", reference])
  await forget(socket, reference)
}

export const forget = (socket: string, reference: string): Promise<unknown> =>
  askJson(socket, "DELETE", `/images/${reference}?force=1`)

interface Blob {
  readonly digest: string
  readonly size: number
}

/** The blobs that a device with the old image fetches, config and manifest not among them. */
export const blobsOf = async (offered: Offered, way: Way): Promise<readonly Blob[]> => {
  return way === "layers" ? changed(offered.pair) : deltaBlobs(offered, way)
}

/** The delta as a device finds it: among the referrers of the new image, by what it is for. */
const deltaBlobs = async (offered: Offered, format: Format): Promise<readonly Blob[]> => {
  const { pair, host } = offered
  const repository = repositoryOf(offered, format)
  const tag = sha256(pair.new.manifest).replace(":", "-")
  const { manifests } = await manifestAt<Referrers>(host, repository, tag)
  const base = imageId(pair.old)
  const found = manifests.findLast(({ annotations }) => annotations?.[BASE_NOTE] === base)
  if (found === undefined) throw new Error("the new image has no delta against the old one")
  const { layers } = await manifestAt<Layered>(host, repository, found.digest)
  return format === "v3" ? layers.slice(common(pair)) : layers
}

interface Layered {
  readonly layers: readonly Blob[]
}

interface Referrers {
  readonly manifests: readonly {
    readonly digest: string
    readonly annotations?: Readonly<Record<string, string>>
  }[]
}

const manifestAt = async <A>(host: string, repository: string, reference: string): Promise<A> => {
  const url = `http://${host}/v2/${repository}/manifests/${reference}`
  const accept = [MEDIA.dockerManifest, MEDIA.ociManifest, MEDIA.ociIndex].join(", ")
  const answer = await fetch(url, { headers: { accept } })
  if (answer.status !== 200) throw new Error(`${repository}:${reference}: ${answer.status}`)
  return await answer.json() as A
}

/** The layers of the new image that are not the old one's. */
const changed = (pair: DeltaCase): BuiltImage["layers"] => pair.new.layers.slice(common(pair))

const common = ({ old, new: next }: DeltaCase): number =>
  next.layers.findIndex(({ diffId }, at) => diffId !== old.layers[at]?.diffId)
