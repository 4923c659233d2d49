import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Base } from "../delta/base.ts"
import { closeFile, openFile, readQuietly } from "../kernel/readers.ts"
import { readBlob } from "../registry/blob.ts"
import type { Registry } from "../registry/registry.ts"
import type { Backoff } from "../registry/retry.ts"
import { BaseImage } from "./base.ts"
import { type Budget, type Member, steadyMs } from "./budget.ts"
import { type Fetched, PullFault } from "./carrier.ts"
import { decode } from "./checkpoint.ts"
import { Extraction } from "./extract.ts"
import { faultOf } from "./faults.ts"
import type { FetchMessage } from "./messages.ts"
import { registryFault } from "./resolve.ts"

export interface FetchMember extends Member {
  readonly extraction: Extraction
}

export interface FetchTools {
  readonly registry: Registry["Service"]
  readonly budget: Budget<FetchMember>
  readonly backoff: Backoff
  readonly retrying: (cause: string, afterMs: number) => void
  readonly progress: (current: number, total: number) => void
  readonly received: (bytes: number) => void
}

/** People look at it, no more than that. */
const PROGRESS_MS = 100
/** How much of an archive is read at once. */
const REGION_BYTES = 256 * 1024

/**
 * Fetches and extracts one layer, from its checkpoint or from nothing. A delta that was not asked
 * for and cannot be applied is given up for the layer itself.
 */
export const fetchLayer = (
  job: FetchMessage,
  tools: FetchTools,
): Effect.Effect<Fetched, PullFault> => {
  if (job.whole === null) return fetchNamed(job, tools)
  const whole = { ...job, source: job.whole, base: null, whole: null }
  const isGivenUp = job.whole.kind === "registry" && job.checkpoint !== null &&
    decode(job.checkpoint)?.blob === job.whole.digest
  if (isGivenUp) return fetchNamed(whole, tools)
  return Effect.catchIf(Effect.scoped(attempt(job, tools)), isItsOwn, ({ cause }) => {
    tools.retrying(`the delta is given up for the whole layer: ${cause}`, 0)
    return fetchNamed({ ...whole, checkpoint: null }, tools)
  })
}

/**
 * What came damaged is fetched once more from its first byte, as a link or a proxy may have done
 * it; twice, and it is the registry's own. An archive on this disk will not be any better the
 * second time.
 */
const fetchNamed = (
  job: FetchMessage,
  tools: FetchTools,
): Effect.Effect<Fetched, PullFault> => {
  const { source } = job
  const once = Effect.scoped(attempt(job, tools))
  if (source.kind === "archive") return once
  const again = Effect.scoped(attempt({ ...job, checkpoint: null }, tools))
  return once.pipe(
    Effect.catchIf(isDamage, ({ cause }) => {
      tools.retrying(cause, 0)
      return Effect.mapError(again, (fault) => twice(fault, source.digest, job.base !== null))
    }),
    Effect.mapError((fault) => about(fault, source.digest)),
  )
}

const isDamage = ({ reason }: PullFault): boolean =>
  reason === "digestMismatch" || reason === "damaged"

const twice = (fault: PullFault, digest: string, isDelta: boolean): PullFault => {
  if (!isDamage(fault)) return fault
  const { reason, cause } = fault
  const why = isDelta
    ? "the registry's copy seems damaged or made of other images: make the delta again"
    : "the registry's copy seems damaged: push the image again"
  return new PullFault({
    reason,
    cause: `filesystem layer verification failed for digest ${digest}: ${cause}; it was fetched ` +
      `twice, so ${why}`,
  })
}

/** What is the matter with the layer itself, and with no other. */
const ITS_OWN = ["notFound", "unsupported", "hostile"]

/** Is it the fault of what came, or of what that was to be applied to? */
const isItsOwn = (fault: PullFault): boolean =>
  isDamage(fault) || fault.reason === "noBase" || ITS_OWN.includes(fault.reason)

/** Says which layer it was, where nobody has yet. */
const about = (fault: PullFault, digest: string): PullFault => {
  const { reason, cause } = fault
  if (!ITS_OWN.includes(reason) || cause.includes(digest)) return fault
  return new PullFault({ reason, cause: `layer ${digest}: ${cause}` })
}

const attempt = Effect.fnUntraced(function*(job: FetchMessage, tools: FetchTools) {
  const { id, source } = job
  const base = job.base === null ? null : yield* opened(() => new BaseImage(job.base!))
  const twin = yield* extracting(() => base?.layer(job.diffId) ?? null)
  const extraction = yield* opened(() => open(job, base, twin !== null))
  const from = extraction.blobOffset
  const next = yield* twin !== null
    ? Effect.succeed(pieces(twin, from, "the base image"))
    : source.kind === "registry"
    ? blobFrom(job, source, from, tools)
    : regionFrom(source, from)
  const member: FetchMember = {
    id,
    extraction,
    taken: () => extraction.blobOffset,
    output: () => extraction.pending.outputBytes,
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => tools.budget.join(member)),
    () => Effect.sync(() => tools.budget.leave(id, false)),
  )
  yield* pour(next, member, twin?.size ?? source.size, tools)
  const fetched = yield* extracting(() => extraction.finish())
  tools.budget.leave(id, true)
  tools.progress(source.size, source.size)
  return fetched
})

/** `copied`: the base has this very layer, and what comes is its tar. */
const open = (
  { directory, diffId, bottom, checkpoint, source }: FetchMessage,
  base: Base | null,
  copied: boolean,
): Extraction => {
  if (copied) return new Extraction({ directory, diffId, bottom, checkpoint, blob: null })
  const blob = source.kind === "registry" ? { digest: source.digest, size: source.size } : null
  return new Extraction({ directory, diffId, bottom, checkpoint, blob, base })
}

const opened = <A extends { readonly close: () => void }>(make: () => A) =>
  Effect.acquireRelease(extracting(make), (made) => Effect.sync(() => made.close()))

/** Everything that extraction throws is a fault already. */
const extracting = <A>(work: () => A): Effect.Effect<A, PullFault> =>
  Effect.try({ try: work, catch: (error) => faultOf(error, "the layer's extraction") })

type Next = Effect.Effect<Uint8Array | null, PullFault>

/** Feeds the blob's bytes to the extraction, stopping where a checkpoint of all fetches is due. */
const pour = Effect.fnUntraced(
  function*(next: Next, member: FetchMember, total: number, tools: FetchTools) {
    const { extraction } = member
    const { budget } = tools
    let reportedMs = 0
    for (;;) {
      yield* budget.room
      const piece = yield* next
      if (piece === null) break
      const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.length)
      yield* swallow(bytes, member, budget)
      tools.received(bytes.length)
      const nowMs = yield* steadyMs
      if (nowMs - reportedMs < PROGRESS_MS) continue
      reportedMs = nowMs
      tools.progress(extraction.blobOffset, total)
    }
    if (extraction.owing) yield* swallow(Buffer.alloc(0), member, budget)
  },
)

/** Has all of these bytes extracted, and all that is to be made of them. */
const swallow = Effect.fnUntraced(
  function*(bytes: Buffer, { id, extraction }: FetchMember, budget: Budget<FetchMember>) {
    let at = 0
    do {
      const used = yield* extracting(() => extraction.write(bytes, at))
      at += used
      const isDue = yield* budget.due(id, used)
      if (extraction.stopped || (isDue && extraction.stopAtBoundary())) yield* park(budget, id)
      else if (at < bytes.length || extraction.owing) yield* Effect.yieldNow // others have a turn
    } while (at < bytes.length || extraction.owing)
  },
)

const park = (budget: Budget<FetchMember>, id: number): Effect.Effect<void, PullFault> =>
  Effect.mapError(budget.park(id), (error) => faultOf(error, "the layers' checkpoint"))

type RegistrySource = Extract<FetchMessage["source"], { readonly kind: "registry" }>
type ArchiveSource = Extract<FetchMessage["source"], { readonly kind: "archive" }>

const blobFrom = (
  { access }: FetchMessage,
  source: RegistrySource,
  offset: number,
  { registry, backoff, retrying }: FetchTools,
): Effect.Effect<Next, never, Scope.Scope> => {
  const { host, repository, digest, size, urls } = source
  const blob = {
    access: access ?? { host, insecure: false, credentials: null },
    repository,
    digest,
    size,
    urls,
  }
  return Effect.map(readBlob(registry, blob, offset, { backoff, retrying }), ({ next }) =>
    Effect.mapError(next, registryFault))
}

/** A stretch of a file of the daemon's own, without taking the page cache from the applications. */
const regionFrom = (
  { path, offset, size }: ArchiveSource,
  from: number,
): Effect.Effect<Next, PullFault, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.try({ try: () => openFile(path), catch: (error) => faultOf(error, path) }),
      (fd) => Effect.sync(() => closeFile(fd)),
    ),
    (fd) => {
      const read = (at: number, buffer: Buffer): number => readQuietly(fd, buffer, offset + at)
      return pieces({ size, read }, from, path)
    },
  )

/** All of something on this disk, piece by piece, from a position on. */
const pieces = (whole: Base, from: number, name: string): Next => {
  const { size } = whole
  const buffer = Buffer.allocUnsafeSlow(REGION_BYTES)
  let at = from
  const next = Effect.try({
    try: () => {
      if (at === size) return null
      const length = whole.read(at, buffer.subarray(0, Math.min(buffer.length, size - at)))
      if (length === 0) {
        const cause = `${name} ends before the layer in it does`
        throw new PullFault({ reason: "damaged", cause })
      }
      at += length
      return buffer.subarray(0, length)
    },
    catch: (error) => faultOf(error, name),
  })
  // Reading never waits: without this no other message would be heard until the end.
  return Effect.andThen(Effect.yieldNow, next)
}
