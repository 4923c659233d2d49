import type { BuiltImage } from "../../images/image.ts"
import type { DeltaCase } from "../../images/delta-cases.ts"
import { push } from "../../images/push.ts"
import { askJson, dockerDone, posted } from "../engines/docker.ts"

/** How the difference travels: balenaEngine's format, or this engine's own. */
export const FORMATS = ["v3", "own"] as const
export type Format = (typeof FORMATS)[number]
/** What a device pulls: the new image's layers, or one of the two instead. */
export const WAYS = ["layers", ...FORMATS] as const
export type Way = (typeof WAYS)[number]

/**
 * A case in the registry. The new image is in two repositories: in `ownRepository` its delta in
 * this engine's own format is found beside it, in `repository` it has none.
 */
export interface Offered {
  readonly pair: DeltaCase
  readonly host: string
  readonly repository: string
  readonly ownRepository: string
}

export const offer = async (pair: DeltaCase, host: string): Promise<Offered> => {
  const repository = `bench/delta-${pair.name}`
  const ownRepository = `${repository}-own`
  for (const to of [repository, ownRepository]) {
    await push(pair.old, host, to, "old")
    await push(pair.new, host, to, "new")
  }
  return { pair, host, repository, ownRepository }
}

/** What a device pulls that has the old image. */
export const referenceOf = ({ host, repository, ownRepository }: Offered, way: Way): string => ({
  layers: `${host}/${repository}:new`,
  v3: `${host}/${repository}:v3`,
  own: `${host}/${ownRepository}:new`,
})[way]

/** The image that the device has before. */
export const oldReference = (offered: Offered): string =>
  `${offered.host}/${offered.repository}:old`

/** Has an engine that holds both images make the delta; throws what it says against it. */
export const makeDelta = (
  socket: string,
  offered: Offered,
  format: Format,
  signal?: AbortSignal,
): Promise<void> => {
  if (format === "own") throw new Error("not there yet")
  const query = new URLSearchParams({
    src: oldReference(offered),
    dest: referenceOf(offered, "layers"),
    t: referenceOf(offered, format),
  })
  return posted(socket, `/images/delta?${query}`, () => {}, signal)
}

/** Sends the delta that has been made to the registry, and forgets it. */
export const shipDelta = async (
  socket: string,
  offered: Offered,
  format: Format,
): Promise<void> => {
  const reference = referenceOf(offered, format)
  await dockerDone(socket, ["push", "--quiet", reference])
  await forget(socket, reference)
}

export const forget = (socket: string, reference: string): Promise<unknown> =>
  askJson(socket, "DELETE", `/images/${reference}?force=1`)

interface Manifest {
  readonly layers: readonly { readonly digest: string; readonly size: number }[]
}

/** The blobs that a device with the old image fetches, config and manifest not among them. */
export const blobsOf = async (offered: Offered, way: Way): Promise<Manifest["layers"]> => {
  const { pair, host, repository } = offered
  if (way === "layers") return changed(pair)
  const answer = await fetch(`http://${host}/v2/${repository}/manifests/${way}`, {
    headers: { accept: "application/vnd.docker.distribution.manifest.v2+json" },
  })
  if (answer.status !== 200) throw new Error(`the delta's manifest: ${answer.status}`)
  const { layers } = await answer.json() as Manifest
  return layers.slice(common(pair))
}

/** The layers of the new image that are not the old one's. */
const changed = (pair: DeltaCase): BuiltImage["layers"] => pair.new.layers.slice(common(pair))

const common = ({ old, new: next }: DeltaCase): number =>
  next.layers.findIndex(({ diffId }, at) => diffId !== old.layers[at]?.diffId)
