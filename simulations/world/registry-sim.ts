import type { PublishJob, Resolved, Source, Uploaded, UploadJob } from "../../src/layers/carrier.ts"
import { digestOf } from "../../src/oci/digest.ts"
import { MEDIA } from "../../src/oci/manifest.ts"
import type { Time } from "./time.ts"

const HOST = "sim.io"
const MIB = 1024 * 1024

/** A layer as the simulated registry has it: nothing but numbers. */
export interface SimBlob {
  readonly digest: string
  readonly diffId: string
  /** As it is sent. */
  readonly size: number
  readonly tarBytes: number
  /** Of its files. */
  readonly bytes: number
  readonly entries: number
  /** It only makes the layer, of a base. */
  readonly isDelta?: true
}

type RegistrySource = Extract<Source, { readonly kind: "registry" }>

export interface SimImage {
  readonly reference: string
  readonly resolved: Resolved
}

/** What befalls an answer. */
export type SimMisdeed =
  | { readonly do: "cut" | "stall"; readonly afterBytes: number }
  | { readonly do: "corrupt" | "missing" }

interface Fault {
  readonly digest: string
  times: number
  readonly misdeed: SimMisdeed
}

/**
 * The simulated registry. A link may be cut or fall silent, a blob come damaged or not at all, all
 * survivable: what has come is checked at its end, and asked for again from where it stopped.
 */
export class SimRegistry {
  readonly images: SimImage[] = []
  /** Bytes of blobs, so far. */
  sent = 0
  readonly #deltas: SimImage[] = []
  readonly #blobs = new Map<string, SimBlob>()
  /** Which blobs each repository has, of this registry and of others: `sim.io/app0`. */
  readonly #repositories = new Map<string, Set<string>>()
  /** Image IDs by `sim.io/app0:latest`, of what was pushed. */
  readonly pushed = new Map<string, string>()
  #faults: Fault[] = []

  /** Offers an image of these layers, lowest first. */
  put(repository: string, tag: string, blobs: readonly SimBlob[]): SimImage {
    for (const blob of blobs) {
      this.#blobs.set(blob.digest, blob)
      this.#of(`${HOST}/${repository}`).add(blob.digest)
    }
    const config = Buffer.from(JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: { Labels: { name: repository } },
      rootfs: { type: "layers", diff_ids: blobs.map(({ diffId }) => diffId) },
    }))
    const manifest = Buffer.from(`manifest of ${repository}`)
    const layers = blobs.map(({ diffId, digest, size }) => ({
      diffId,
      source: {
        kind: "registry" as const, host: HOST, repository, digest, size,
        mediaType: MEDIA.dockerLayerGzip, urls: [],
      },
    }))
    const resolved: Resolved = {
      imageId: digestOf(config),
      manifestDigest: digestOf(manifest),
      digest: digestOf(manifest),
      mediaType: "application/vnd.docker.distribution.manifest.v2+json",
      manifest,
      config,
      layers,
      delta: null,
      offers: [],
    }
    const image = { reference: `${HOST}/${repository}:${tag}`, resolved }
    this.images.push(image)
    return image
  }

  /** Offers a delta beside the image that it makes of another: a tenth of the size. */
  putDelta({ reference, resolved }: SimImage, base: SimImage): void {
    const digest = digestOf(`delta ${base.reference} ${reference}`)
    const layers = resolved.layers.map(({ diffId, source }) => {
      const blob = this.#blobs.get((source as RegistrySource).digest)!
      const own = digestOf(`delta ${base.reference} ${diffId}`)
      const size = Math.ceil(blob.size / 10)
      this.#blobs.set(own, { ...blob, digest: own, size, isDelta: true })
      return { diffId, source: { ...source as RegistrySource, digest: own, size } }
    })
    const delta = { imageId: digest, base: base.resolved.imageId }
    this.#deltas.push({ reference, resolved: { ...resolved, digest, layers, delta, offers: [] } })
    const bytes = layers.reduce((sum, { source }) => sum + source.size, 0)
    const offer = { digest, base: base.resolved.imageId, bytes }
    const at = this.images.findIndex((image) => image.reference === reference)
    const offers = [...this.images[at]!.resolved.offers, offer]
    this.images[at] = { reference, resolved: { ...this.images[at]!.resolved, offers } }
  }

  #of(repository: string): Set<string> {
    const blobs = this.#repositories.get(repository) ?? new Set()
    this.#repositories.set(repository, blobs)
    return blobs
  }

  /** What need not be sent: the repository has it, or another one lends it; null: all of it. */
  offer({ access: { host }, repository, known }: UploadJob): Uploaded | null {
    const blobs = this.#of(`${host}/${repository}`)
    const here = known.find(({ digest }) => blobs.has(digest))
    if (here !== undefined) return { ...here, how: "existed", from: null }
    const lent = known.find(({ digest, from }) =>
      from !== null && this.#of(`${host}/${from}`).has(digest))
    if (lent === undefined) return null
    blobs.add(lent.digest)
    return { ...lent, how: "mounted" }
  }

  /** The blob that an engine makes of a layer. */
  packed(diffId: string): SimBlob | undefined {
    const blob = [...this.#blobs.values()].find((one) => one.diffId === diffId && !one.isDelta)
    return blob && { ...blob, digest: digestOf(`${diffId}, packed here`), size: blob.tarBytes }
  }

  keep({ access: { host }, repository }: UploadJob, blob: SimBlob): Uploaded {
    this.#blobs.set(blob.digest, blob)
    this.#of(`${host}/${repository}`).add(blob.digest)
    const { digest, size } = blob
    return { digest, size, mediaType: MEDIA.dockerLayerGzip, how: "pushed", from: null }
  }

  /** Keeps a manifest; answers a blob that it names and the repository has not, or null. */
  publish({ access: { host }, repository, reference, manifest, blobs: small }: PublishJob) {
    const blobs = this.#of(`${host}/${repository}`)
    for (const bytes of small) blobs.add(digestOf(bytes))
    const { config, layers } = JSON.parse(Buffer.from(manifest).toString()) as {
      config: { digest: string }
      layers: readonly { digest: string }[]
    }
    const lacking = [config, ...layers].find(({ digest }) => !blobs.has(digest))
    if (lacking !== undefined) return lacking.digest
    this.pushed.set(`${host}/${repository}:${reference}`, config.digest)
    return null
  }

  /** What a tag or a digest names; undefined: nothing. */
  find(repository: string, tagOrDigest: string): Resolved | undefined {
    return [...this.images, ...this.#deltas].find(({ reference, resolved }) =>
      reference === `${HOST}/${repository}:${tagOrDigest}` ||
      (reference.startsWith(`${HOST}/${repository}:`) && resolved.digest === tagOrDigest)
    )?.resolved
  }

  /** Has the next so many answers for a blob go wrong. */
  inject(digest: string, times: number, misdeed: SimMisdeed): void {
    this.#faults.push({ digest, times, misdeed })
  }

  heal(): void {
    this.#faults = []
  }

  blob(digest: string): SimBlob | undefined {
    return this.#blobs.get(digest)
  }

  /** The answer for a blob from some byte on; null: there is none. */
  open(digest: string): SimAnswer | null {
    const fault = this.#faults.find((one) => one.digest === digest && one.times > 0)
    if (fault !== undefined) fault.times--
    const blob = this.#blobs.get(digest)
    if (blob === undefined || fault?.misdeed.do === "missing") return null
    return new SimAnswer(this, blob, fault?.misdeed)
  }
}

/** One connection that brings a blob. */
export class SimAnswer {
  readonly blob: SimBlob
  /** Other bytes come than the digest names. */
  readonly isSpoilt: boolean
  readonly #registry: SimRegistry
  readonly #ends: "cut" | "stall" = "cut"
  #left = Infinity

  constructor(registry: SimRegistry, blob: SimBlob, misdeed: SimMisdeed | undefined) {
    this.#registry = registry
    this.blob = blob
    this.isSpoilt = misdeed?.do === "corrupt"
    if (misdeed?.do !== "cut" && misdeed?.do !== "stall") return
    this.#ends = misdeed.do
    this.#left = misdeed.afterBytes
  }

  /** At most so many bytes more, or what has become of the connection. */
  take(most: number): number | "cut" | "stall" {
    const taken = Math.min(most, this.#left)
    if (taken === 0) return this.#ends
    this.#left -= taken
    this.#registry.sent += taken
    return taken
  }
}

const LAYERS = 8
const IMAGES = 6

/** A small registry of images with layers that several of them share. */
export const smallRegistry = (time: Time): SimRegistry => {
  const registry = new SimRegistry()
  const layers = Array.from({ length: LAYERS }, (_, number): SimBlob => {
    const digest = digestOf(Buffer.from(`layer ${number}`))
    const size = time.between(2, 40) * MIB
    return { digest, diffId: digest, size, tarBytes: size, bytes: size, entries: 1 }
  })
  for (let number = 0; number < IMAGES; number++) {
    const depth = time.between(1, 5)
    const mine = Array.from({ length: depth }, (_, at) => layers[(number + at) % LAYERS]!)
    registry.put(`app${number}`, "latest", mine)
  }
  for (let number = 0; number < IMAGES; number += 2) {
    const base = (number + time.between(1, IMAGES)) % IMAGES
    registry.putDelta(registry.images[number]!, registry.images[base]!)
  }
  return registry
}
