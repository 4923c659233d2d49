import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { DELTA_FORMATS } from "../oci/delta.ts"
import { PACKINGS, PullFault } from "./carrier.ts"

/**
 * What the daemon and its extraction child say to each other. Both sides check what they hear:
 * the child has been reading strangers' archives. Jobs have numbers on the channel, given by the
 * daemon.
 */
const Id = Schema.Int
const Bytes = Schema.Uint8Array
const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

const Credentials = Schema.Struct({
  username: Schema.String,
  password: Schema.String,
  identityToken: Schema.String,
  registryToken: Schema.String,
})
const Access = Schema.Struct({
  host: Schema.String,
  insecure: Schema.Boolean,
  credentials: Schema.NullOr(Credentials),
})
const Source = Schema.Union([
  Schema.Struct({
    kind: Schema.Literal("registry"),
    host: Schema.String,
    repository: Schema.String,
    digest: Schema.String,
    size: Count,
    mediaType: Schema.String,
    urls: Schema.Array(Schema.String),
  }),
  Schema.Struct({
    kind: Schema.Literal("archive"),
    path: Schema.String,
    offset: Count,
    size: Count,
  }),
])
const Delta = Schema.NullOr(Schema.Struct({ imageId: Schema.String, base: Schema.String }))
const LayerSource = Schema.Struct({ diffId: Schema.String, source: Source })

/** The child's first message: without it there is nothing that it may do. */
const Begin = Schema.TaggedStruct("begin", {
  /** The daemon's pid. A child that has another parent is an orphan. */
  parent: Schema.Int,
  lockPath: Schema.String,
  userAgent: Schema.String,
  certificatesPath: Schema.String,
  backoffBaseMs: Count,
  backoffMaxMs: Count,
  connectTimeoutMs: Count,
  headersTimeoutMs: Count,
  stallTimeoutMs: Count,
})
const Resolve = Schema.TaggedStruct("resolve", {
  id: Id,
  repository: Schema.String,
  reference: Schema.String,
  access: Access,
  platform: Schema.NullOr(Schema.String),
  bases: Schema.Array(Schema.String),
})
const Inspect = Schema.TaggedStruct("inspect", { id: Id, path: Schema.String })
const Fetch = Schema.TaggedStruct("fetch", {
  id: Id,
  diffId: Schema.String,
  bottom: Schema.Boolean,
  directory: Schema.String,
  source: Source,
  access: Schema.NullOr(Access),
  base: Schema.NullOr(Schema.Array(Schema.String)),
  whole: Schema.NullOr(Source),
  checkpoint: Schema.NullOr(Bytes),
})
const Upload = Schema.TaggedStruct("upload", {
  id: Id,
  diffId: Schema.String,
  directory: Schema.String,
  packing: Schema.Literals(PACKINGS),
  access: Access,
  repository: Schema.String,
  known: Schema.Array(Schema.Struct({
    digest: Schema.String,
    size: Count,
    mediaType: Schema.String,
    from: Schema.NullOr(Schema.String),
  })),
})
const Publish = Schema.TaggedStruct("publish", {
  id: Id,
  access: Access,
  repository: Schema.String,
  reference: Schema.String,
  mediaType: Schema.String,
  manifest: Bytes,
  subject: Schema.NullOr(Schema.String),
  blobs: Schema.Array(Bytes),
})
const Drop = Schema.TaggedStruct("drop", { id: Id, directory: Schema.String })
const Encode = Schema.TaggedStruct("encode", {
  id: Id,
  base: Schema.Array(Schema.String),
  targets: Schema.Array(Schema.Struct({ directory: Schema.String, diffId: Schema.String })),
  format: Schema.Literals(DELTA_FORMATS),
  directory: Schema.String,
})
/** End a job. Always answered with `stopped`, whether there is such a job or not. */
const Stop = Schema.TaggedStruct("stop", { id: Id })
/** The states of this checkpoint are durable. */
const Saved = Schema.TaggedStruct("saved", { checkpoint: Schema.Int })

const ToChild = Schema.Union([
  Begin, Resolve, Inspect, Fetch, Upload, Publish, Encode, Drop, Stop, Saved,
])
export type ToChild = typeof ToChild.Type
export type Job = Exclude<ToChild, { readonly _tag: "begin" | "stop" | "saved" }>
export type BeginMessage = typeof Begin.Type
export type ResolveMessage = typeof Resolve.Type
export type FetchMessage = typeof Fetch.Type
export type UploadMessage = typeof Upload.Type
export type PublishMessage = typeof Publish.Type

const Resolved = Schema.TaggedStruct("resolved", {
  id: Id,
  resolved: Schema.Struct({
    imageId: Schema.String,
    manifestDigest: Schema.String,
    digest: Schema.String,
    mediaType: Schema.String,
    manifest: Bytes,
    config: Bytes,
    layers: Schema.Array(LayerSource),
    delta: Delta,
    offers: Schema.Array(Schema.Struct({
      digest: Schema.String, base: Schema.String, bytes: Count,
    })),
  }),
})
/**
 * What the reference names, or the registry itself, is there; the rest of the answer may take as
 * long as it takes.
 */
const Named = Schema.TaggedStruct("named", { id: Id })
const Inspected = Schema.TaggedStruct("inspected", {
  id: Id,
  archived: Schema.Array(Schema.Struct({
    imageId: Schema.String,
    config: Bytes,
    tags: Schema.Array(Schema.String),
    layers: Schema.Array(LayerSource),
    delta: Delta,
  })),
})
const Fetched = Schema.TaggedStruct("fetched", {
  id: Id,
  fetched: Schema.Struct({ bytes: Count, tarBytes: Count, entries: Count }),
})
const Uploaded = Schema.TaggedStruct("uploaded", {
  id: Id,
  uploaded: Schema.Struct({
    digest: Schema.String,
    size: Count,
    mediaType: Schema.String,
    how: Schema.Literals(["pushed", "existed", "mounted"]),
    from: Schema.NullOr(Schema.String),
  }),
})
const Published = Schema.TaggedStruct("published", { id: Id, digest: Schema.String })
const Dropped = Schema.TaggedStruct("dropped", { id: Id })
const Encoded = Schema.TaggedStruct("encoded", {
  id: Id,
  layers: Schema.Array(Schema.Struct({
    diffId: Schema.String,
    path: Schema.String,
    offset: Count,
    size: Count,
    payload: Count,
  })),
})
const Failed = Schema.TaggedStruct("failed", {
  id: Id,
  reason: PullFault.fields.reason,
  cause: Schema.String,
})
const Progress = Schema.TaggedStruct("progress", {
  id: Id,
  /** Of a job that has several; else 0. */
  part: Count,
  current: Count,
  total: Count,
})
const Retrying = Schema.TaggedStruct("retrying", {
  id: Id,
  cause: Schema.String,
  afterMs: Count,
})
/** On the disk up to these states. The next one is not made before this one is `saved`. */
const Checkpoint = Schema.TaggedStruct("checkpoint", {
  checkpoint: Schema.Int,
  states: Schema.Array(Schema.Struct({ id: Id, state: Bytes })),
})
const Stopped = Schema.TaggedStruct("stopped", { id: Id })

const FromChild = Schema.Union([
  Named,
  Resolved,
  Inspected,
  Fetched,
  Uploaded,
  Published,
  Dropped,
  Encoded,
  Failed,
  Progress,
  Retrying,
  Checkpoint,
  Stopped,
])
export type FromChild = typeof FromChild.Type

/** Checks what the daemon said. Fails with what is wrong with it. */
export const hearDaemon = (message: unknown): Result.Result<ToChild, string> =>
  Result.mapError(Schema.decodeUnknownResult(ToChild)(message), String)

/** Checks what the child said. Fails with what is wrong with it. */
export const hearChild = (message: unknown): Result.Result<FromChild, string> =>
  Result.mapError(Schema.decodeUnknownResult(FromChild)(message), String)
