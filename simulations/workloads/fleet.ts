import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { MachineEvent } from "../../src/engine/hand.ts"
import { Loop } from "../../src/engine/loop.ts"
import { removeImage, tagImage } from "../../src/engine/requests/image.ts"
import { pull } from "../../src/engine/requests/pull.ts"
import { push } from "../../src/engine/requests/push.ts"
import { parseReference } from "../../src/oci/reference.ts"
import type { NetworkTerms } from "../../src/oci/terms.ts"
import type { Device } from "../world/device.ts"
import { Violation } from "../world/disk.ts"
import type { Time } from "../world/time.ts"

/** What a client was promised, and has not asked to be undone since. */
export interface Promises {
  /** Image IDs by reference: the pull was answered. */
  readonly images: Map<string, string>
  /** Containers whose creation was answered. */
  readonly containers: Set<string>
  /** Containers whose removal was answered. */
  readonly removed: Set<string>
  answered: number
}

export const noPromises = (): Promises => ({
  images: new Map(),
  containers: new Set(),
  removed: new Set(),
  answered: 0,
})

/** Some want the same port, some any; most want none. */
const NETWORKS: readonly Pick<NetworkTerms, "mode" | "ports">[] = [
  { mode: "bridge", ports: [] },
  { mode: "bridge", ports: [] },
  { mode: "bridge", ports: [{ port: 80, protocol: "tcp", hostIp: "", hostPort: 8080 }] },
  { mode: "bridge", ports: [{ port: 80, protocol: "tcp", hostIp: "", hostPort: 0 }] },
  { mode: "none", ports: [] },
]

const POLICIES = ["no", "no", "always", "on-failure", "unless-stopped"] as const

/**
 * Clients of a device: each call asks for one thing that a supervisor or a person might ask for.
 */
export class Fleet {
  readonly promises: Promises
  readonly #device: Device
  readonly #time: Time
  #containers = 0
  /** Containers whose removal was asked for. */
  readonly #unwanted = new Set<string>()
  #deltas = 0

  constructor(device: Device, promises: Promises) {
    this.#device = device
    this.#time = device.time
    this.promises = promises
  }

  act(): void {
    if (!this.#device.isUp) return
    const dice = this.#time.random()
    if (dice < 0.29) this.#pull()
    else if (dice < 0.35) this.#push()
    else if (dice < 0.42) this.#removeImage()
    else if (dice < 0.47) this.#makeDelta()
    else if (dice < 0.62) this.#create()
    else if (dice < 0.92) this.#toContainer()
    else this.#remove()
  }

  /** Forgets what a request that may have been heard could undo, before it is sent. */
  #pull(): void {
    const { reference, resolved } = this.#time.oneOf(this.#device.registry.images)
    const parsed = Result.getOrThrow(parseReference(reference))
    const wanted = { reference: parsed, platform: null, credentials: null }
    const before = this.#removals
    this.#device.ask(pull(wanted, () => {}), (pulled) => {
      if (pulled === undefined) return
      this.promises.answered++
      // A removal that was asked for meanwhile may have come after it.
      if (this.#removals === before) this.promises.images.set(reference, resolved.imageId)
    })
  }

  #removals = 0
  #removeImage(): void {
    const { reference } = this.#time.oneOf(this.#device.registry.images)
    this.#removals++
    this.promises.images.delete(reference)
    this.#device.ask(removeImage(reference, this.#time.chance(0.5)), (gone) => {
      if (gone !== undefined) this.promises.answered++
    })
  }

  /** Of two images that are here; sometimes its client does not wait for the end. */
  #makeDelta(): void {
    const { images } = this.#device.store
    const ids = images.all().map(({ id }) => id)
    if (ids.length === 0) return
    const terms = {
      base: images.layers(this.#time.oneOf(ids)),
      target: images.layers(this.#time.oneOf(ids)),
      format: "rsync",
    }
    const address = `delta/${this.#deltas++}`
    const ask = (event: MachineEvent) =>
      Effect.flatMap(Loop, (loop) => loop.ask(address, event, ({ done }) => done || undefined))
    this.#device.ask(ask({ type: "make", terms }), (done) => {
      if (done !== undefined) this.promises.answered++
    })
    if (this.#time.chance(0.3)) this.#device.ask(ask({ type: "cancel" }), () => {})
  }

  /**
   * Pushes an image as what it is, or under another name, which is taken away again at any time: a
   * push does without. A client may lose its patience.
   */
  #push(): void {
    const { registry, store } = this.#device
    const tags = store.images.tags()
    if (tags.length === 0) return
    const { reference, image } = this.#time.oneOf(tags)
    const isCopy = this.#time.chance(0.6)
    const host = this.#time.oneOf(["sim.io", "far.io"])
    const name = isCopy ? `${host}/copy${this.#time.between(0, 4)}:latest` : reference
    const parsed = Result.getOrThrow(parseReference(name))
    const pushing = push(parsed, null, () => {}).pipe(
      Effect.timeoutOption(this.#time.chance(0.3) ? this.#time.between(1, 500) : 3_600_000),
    )
    const untag = Effect.ignore(removeImage(name, false))
    const asked = isCopy
      ? Effect.andThen(tagImage(reference, parsed), Effect.all([
        pushing,
        Effect.delay(untag, this.#time.between(0, 2000)),
      ], { concurrency: 2 }).pipe(Effect.map(([pushed]) => pushed)))
      : pushing
    this.#device.ask(asked, (pushed) => {
      if (pushed === undefined || pushed._tag === "None") return
      this.promises.answered++
      if (registry.pushed.has(name)) return
      this.#device.violation ??= new Violation(`${name} of ${image} was not pushed`)
    })
  }

  #create(): void {
    const images = this.#device.store.images.all()
    if (images.length === 0) return
    const image = this.#time.oneOf(images)
    const id = `${(this.#containers++).toString(16).padStart(8, "0")}${"0".repeat(56)}`
    const restart = this.#time.oneOf(POLICIES)
    const autoRemove = restart === "no" && this.#time.chance(0.3)
    const row = {
      id,
      name: `c${this.#time.between(0, 30)}`,
      image: image.id,
      imageName: "app",
      createdMs: 1,
      terms: {
        stopSignal: "SIGTERM",
        labels: {},
        mounts: [],
        network: this.#time.oneOf(NETWORKS),
      },
      given: {},
      layers: this.#device.store.images.layers(image.id),
    }
    const terms = { restart, retries: this.#time.between(0, 4), autoRemove }
    const create = { type: "create", terms, row }
    this.#ask(id, create, () => {
      // Its removal may have been asked for before its making was answered.
      if (!autoRemove && !this.#unwanted.has(id)) this.promises.containers.add(id)
    })
  }

  #toContainer(): void {
    const id = this.#anyContainer()
    if (id === undefined) return
    const event = this.#time.oneOf([
      { type: "start" },
      { type: "start" },
      { type: "start" },
      { type: "stop", graceMs: this.#time.between(0, 3000) },
      { type: "restart", graceMs: 500 },
      { type: "pause" },
      { type: "resume" },
      { type: "kill", signal: "SIGKILL", last: true },
      { type: "rename", name: `c${this.#time.between(0, 30)}` },
    ])
    this.#ask(id, event, () => {})
  }

  #remove(): void {
    const id = this.#anyContainer()
    if (id === undefined) return
    this.promises.containers.delete(id)
    this.#unwanted.add(id)
    const remove = Effect.flatMap(Loop, (loop) =>
      loop.ask(`container/${id}`, { type: "remove", force: this.#time.chance(0.7) }, ({ done }) =>
        done || undefined))
    this.#device.ask(remove, (gone) => {
      if (gone === undefined) return
      this.promises.answered++
      this.promises.removed.add(id)
    })
  }

  #anyContainer(): string | undefined {
    const rows = this.#device.store.containers.all()
    return rows.length === 0 ? undefined : this.#time.oneOf(rows).id
  }

  #ask(id: string, event: { readonly type: string }, answered: () => void): void {
    const asking = Effect.flatMap(Loop, (loop) => loop.ask(`container/${id}`, event, () => true))
    this.#device.ask(asking, (answer) => {
      if (answer === undefined) return
      this.promises.answered++
      answered()
    })
  }
}
