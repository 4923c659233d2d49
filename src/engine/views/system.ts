import * as Effect from "effect/Effect"
import { cgroupVersion, hostName } from "../../kernel/machine.ts"
import { isForwarding, machineReport } from "../../kernel/resources.ts"
import { Store } from "../../store/store.ts"
import { Loop } from "../loop.ts"
import { type ImageView, listImages } from "./image.ts"

/** How many containers there are in each state, as clients count them. */
export interface Census {
  readonly all: number
  readonly running: number
  readonly paused: number
}

const census = Effect.gen(function*() {
  const store = yield* Store
  const loop = yield* Loop
  const snapshots = store.containers.all().map(({ id }) => loop.snapshot(`container/${id}`))
  const paused = snapshots.filter((snapshot) => snapshot?.hasTag("paused")).length
  const running = snapshots.filter((snapshot) => snapshot?.hasTag("running")).length - paused
  return { all: snapshots.length, running, paused }
})

/** What `docker info` is made of. */
export const systemInfo = Effect.gen(function*() {
  const store = yield* Store
  return {
    census: yield* census,
    images: store.images.all().length,
    machine: machineReport(),
    hostname: hostName(),
    cgroupVersion: cgroupVersion(),
    forwarding: isForwarding(),
  }
})

/** An image beside others: `sharedBytes` lie in layers that more than one image stands on. */
export interface ImageUse {
  readonly image: ImageView
  readonly sharedBytes: number
}

/** What `docker system df` is made of: images and their layers, in bytes of file content. */
export const diskUse = Effect.gen(function*() {
  const store = yield* Store
  const images = yield* listImages
  const layers = store.layers.all().filter((row) => row.ready === 1)
  const users = new Map<string, number>()
  for (const { address } of images.flatMap((image) => image.layers)) {
    users.set(address, (users.get(address) ?? 0) + 1)
  }
  const uses = images.map((image): ImageUse => ({
    image,
    sharedBytes: image.layers.filter(({ address }) => users.get(address)! > 1)
      .reduce((sum, { bytes }) => sum + bytes, 0),
  }))
  return { uses, layersBytes: layers.reduce((sum, row) => sum + row.bytes, 0) }
})
