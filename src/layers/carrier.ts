import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { DeltaFormat } from "../oci/delta.ts"
import type { Access } from "../registry/access.ts"

export type { Access, Credentials } from "../registry/access.ts"

/** Where a layer's bytes come from. `diffId` is what the uncompressed tar must hash to. */
export type Source =
  | {
    readonly kind: "registry"
    readonly host: string
    /** `library/busybox`. */
    readonly repository: string
    readonly digest: string
    /** Compressed bytes. */
    readonly size: number
    readonly mediaType: string
    /** Other places a blob may be fetched from (schema 2 foreign layers); normally empty. */
    readonly urls: readonly string[]
  }
  | {
    readonly kind: "archive"
    readonly path: string
    readonly offset: number
    readonly size: number
  }

/** What a reference turned out to name. The byte strings are exactly the registry's. */
export interface Resolved {
  readonly imageId: string
  readonly manifestDigest: string
  /** Of the list, or else the manifest, that the reference named: what RepoDigests shows. */
  readonly digest: string
  readonly mediaType: string
  readonly manifest: Uint8Array
  readonly config: Uint8Array
  readonly layers: readonly { readonly diffId: string; readonly source: Source }[]
  /** The name stands for a delta; all of the above is of the image that it makes. */
  readonly delta: DeltaOf | null
  /** Deltas that would make the image of one that is here. */
  readonly offers: readonly DeltaOffer[]
}

/** A delta that the registry has for an image that is asked for. */
export interface DeltaOffer {
  /** Of the delta's manifest. */
  readonly digest: string
  /** ID of its base image, which is here. */
  readonly base: string
  /** Of all its layers, as they are sent. */
  readonly bytes: number
}

/** What a delta image is, beside what it makes: its own ID, and the ID of its base image. */
export interface DeltaOf {
  readonly imageId: string
  readonly base: string
}

/** One image found in a `docker save` archive (either layout). */
export interface Archived {
  readonly imageId: string
  readonly config: Uint8Array
  readonly tags: readonly string[]
  readonly layers: readonly { readonly diffId: string; readonly source: Source }[]
  readonly delta: DeltaOf | null
}

export interface FetchJob {
  /** Names the job on the channel; the layer's address. */
  readonly job: string
  readonly diffId: string
  /** Is it an image's lowest layer? Then whiteouts are recorded, not made. */
  readonly bottom: boolean
  /** `<data-root>/overlay2/<id>`; made if missing. */
  readonly directory: string
  readonly source: Source
  readonly access: Access | null
  /** Directories of a delta's base, lowest first; null: the source has the layer itself. */
  readonly base: readonly string[] | null
  /** Of a delta that was found and not asked for: what to take where it cannot be applied. */
  readonly whole: Source | null
  /** The last durable checkpoint's state; null: start over (the directory is emptied first). */
  readonly checkpoint: Uint8Array | null
}

export interface Fetched {
  /** Bytes of file content in `diff`: what `docker history` and `Size` count. */
  readonly bytes: number
  /** Bytes of the uncompressed tar. */
  readonly tarBytes: number
  readonly entries: number
}

/** What a delta is to be made of; both images are on this disk. */
export interface EncodeJob {
  /** Directories of the base image's layers, lowest first. */
  readonly base: readonly string[]
  /** The layers of the image that the delta is to make, lowest first. */
  readonly targets: readonly { readonly directory: string; readonly diffId: string }[]
  readonly format: DeltaFormat
  /** A new directory for what is made; it is the caller's to remove. */
  readonly directory: string
}

/** A layer of a delta image, as a tar in a file. */
export interface EncodedLayer {
  readonly diffId: string
  readonly path: string
  readonly offset: number
  readonly size: number
  /** Of the delta itself; 0: both images have this layer in common, and nothing is told of it. */
  readonly payload: number
}

export interface EncodeWatch {
  /** Part 0 is the base, part n the nth layer; done when `current` is `total`. */
  readonly progress: (part: number, current: number, total: number) => void
}

/** A blob that a layer is known to be. */
export interface KnownBlob {
  readonly digest: string
  /** Compressed bytes. */
  readonly size: number
  readonly mediaType: string
  /** A repository of the registry that is pushed to; null: it is known from another registry. */
  readonly from: string | null
}

/** So many layers are sent at once: each takes a chunk of 4 MiB, and a reader as much again. */
export const UPLOADS_MAX = 2

/** How a layer is compressed: in gzip's usual way, as small as gzip can, or not at all. */
export const PACKINGS = ["gzip", "smallest", "none"] as const
export type Packing = (typeof PACKINGS)[number]

export interface UploadJob {
  /** Names the job on the channel. */
  readonly job: string
  readonly diffId: string
  /** `<data-root>/overlay2/<id>` of a whole layer. */
  readonly directory: string
  readonly packing: Packing
  readonly access: Access
  /** `library/busybox`. */
  readonly repository: string
  /** The best to ask for first. */
  readonly known: readonly KnownBlob[]
}

/** A layer as the repository has it now. */
export interface Uploaded {
  readonly digest: string
  readonly size: number
  readonly mediaType: string
  readonly how: "pushed" | "existed" | "mounted"
  /** The repository it was mounted from. */
  readonly from: string | null
}

export interface PublishJob {
  readonly access: Access
  readonly repository: string
  /** A tag, or the manifest's own digest. */
  readonly reference: string
  readonly mediaType: string
  readonly manifest: Uint8Array
  /** Digest of the manifest that this one is about: it is put where clients look for such. */
  readonly subject: string | null
  /** Small blobs that it names: a config. They come first. */
  readonly blobs: readonly Uint8Array[]
}

export interface Watch {
  /** Compressed bytes so far, of `total`. Called often: throttle at the receiver. */
  readonly progress: (current: number, total: number) => void
  /** A passing fault; the next try comes in `afterMs`. */
  readonly retrying: (cause: string, afterMs: number) => void
  /**
   * Everything up to here is on the disk: keep `state`, durably, and only then return. One call may
   * cover several layers in flight, as the child makes one barrier for all.
   */
  readonly checkpoint: (
    states: readonly { readonly job: string; readonly state: Uint8Array }[],
  ) => Effect.Effect<void>
}

/** Why a pull, a load or a push cannot go on. `reason` is for machines, `cause` for people. */
export class PullFault extends Schema.TaggedError<PullFault>()("PullFault", {
  reason: Schema.Literals([
    "unauthorized", // 401 or 403, after a fresh token
    "notFound", // the registry has no such manifest or blob
    "unreachable", // no connection, and no more tries
    "digestMismatch", // twice: what came is not what was named
    "damaged", // a blob, archive or tar that cannot be read
    "hostile", // an archive that tries to leave its root
    "noSpace",
    "unsupported", // a media type or platform that we do not have
    "lost", // the child died; the job can be begun again from its checkpoint
    "noBase", // a delta's base image is not here, or damaged
    "local", // the disk or the kernel refused
  ]),
  cause: Schema.String,
}) {}

/**
 * The daemon's side of the one extraction child: started with the first job, ended after the last.
 * Its simulated twin is in `simulations/world/carrier.ts`; both pass `test/contracts/carrier.ts`.
 */
export class Carrier extends Context.Service<Carrier, {
  /** Asks the registry what a reference names, for this platform. */
  readonly resolve: (job: {
    readonly repository: string
    /** A tag or a digest. */
    readonly reference: string
    readonly access: Access
    /** `linux/arm64/v8`; null: this machine's. */
    readonly platform: string | null
    /** IDs of images that are here: deltas against these are looked for. */
    readonly bases: readonly string[]
    /** It is there. Until this a passing fault is soon told; from here on it is waited out. */
    readonly named: () => void
    readonly retrying: (cause: string, afterMs: number) => void
  }) => Effect.Effect<Resolved, PullFault>
  /** Reads what a saved archive holds: a file of this daemon's own, possibly gzipped as a whole. */
  readonly inspect: (path: string) => Effect.Effect<readonly Archived[], PullFault>
  /**
   * Fetches, verifies and extracts one layer; succeeds once everything is on the disk. Interrupting
   * it returns only after the child has closed everything below `directory`, or is dead.
   */
  readonly fetch: (job: FetchJob, watch: Watch) => Effect.Effect<Fetched, PullFault>
  /** Makes the layers of a delta image. */
  readonly encode: (
    job: EncodeJob,
    watch: EncodeWatch,
  ) => Effect.Effect<readonly EncodedLayer[], PullFault>
  /**
   * Has a layer in a repository, whatever little has to be sent for that. `named`: the registry
   * answers; until this a passing fault is soon told, from here on it is waited out. Interrupting
   * it returns only after nothing of the layer is open any more.
   */
  readonly upload: (
    job: UploadJob,
    watch: Pick<Watch, "progress" | "retrying"> & { readonly named: () => void },
  ) => Effect.Effect<Uploaded, PullFault>
  /** Keeps a manifest in a repository that has all it names but `blobs`. Answers its digest. */
  readonly publish: (
    job: PublishJob,
    watch: Pick<Watch, "retrying">,
  ) => Effect.Effect<string, PullFault>
  /** Deletes a layer's directory, whatever is in it. Idempotent. */
  readonly drop: (directory: string) => Effect.Effect<void, PullFault>
}>()("layers/Carrier") {}
