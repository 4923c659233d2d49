import { join } from "node:path"
import { demoImages } from "../images/busybox.ts"
import { type BuiltImage, type BuiltLayer } from "../images/image.ts"
import type { Rig } from "../powercut/rig.ts"
import { BadLink } from "../world/bad-link.ts"
import { putBuilt } from "../world/image-maker.ts"
import { EmbeddedRegistry } from "../world/registry.ts"
import { makeDevice, type Device } from "./device.ts"

/** All that the story is played with, on this machine and for its time only. */
export interface Stage extends AsyncDisposable {
  readonly rig: Rig
  readonly device: Device
  readonly registry: EmbeddedRegistry
  readonly link: BadLink
  readonly sizeMiB: number
  readonly v1: BuiltImage
  readonly v2: BuiltImage
  /** The layers of v2 that v1 does not have: what must be fetched. */
  readonly changed: readonly BuiltLayer[]
  /** `127.0.0.1:40123/app`: behind the link. */
  readonly repository: string
}

/** Makes both images, puts them on a registry, and sets up a device and a link to it. */
export const setStage = async (rig: Rig, sizeMiB: number): Promise<Stage> => {
  await using stack = new AsyncDisposableStack()
  process.env["BALENA_IMAGES"] ??= join(rig.root, "images")
  const { v1, v2 } = await demoImages(sizeMiB)
  const registry = stack.adopt(await EmbeddedRegistry.start(), (it) => it.close())
  putBuilt(registry, v1, "app", "v1")
  putBuilt(registry, v2, "app", "v2")
  const link = stack.adopt(await BadLink.start({ to: registry.host }), (it) => it.close())
  const device = stack.use(await makeDevice(rig, sizeMiB))
  const known = new Set(v1.layers.map(({ digest }) => digest))
  const changed = v2.layers.filter(({ digest }) => !known.has(digest))
  const all = stack.move()
  return {
    rig, device, registry, link, sizeMiB, v1, v2, changed,
    repository: `${link.host}/app`,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

/** What a cut, of the link or of the power, made of a layer on its way. */
export interface Fate {
  readonly layer: BuiltLayer
  /** The first byte of its blob asked for afterwards; null: none, it was whole. */
  readonly from: number | null
}

/** What must be fetched for v2, in bytes. */
export const needed = ({ changed }: Stage): number =>
  changed.reduce((sum, { size }) => sum + size, 0)

/** From where on each layer of v2 has been asked for, since the registry's `since`th request. */
export const fatesSince = ({ changed, registry }: Stage, since: number): readonly Fate[] =>
  changed.map((layer) => {
    const asked = registry.seen.slice(since)
      .find(({ method, path }) => method === "GET" && path.endsWith(layer.digest))
    const start = /^bytes=(\d+)-/.exec(asked?.range ?? "")?.[1]
    return { layer, from: asked === undefined ? null : Number(start ?? 0) }
  })

/** How machines and people call a layer: the beginning of its diff ID. */
export const nameOf = ({ diffId }: BuiltLayer): string => diffId.slice(7, 19)
