import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { closeFile, openFile, readQuietly } from "../kernel/readers.ts"
import { readBlob } from "../registry/blob.ts"
import type { Registry } from "../registry/registry.ts"
import type { Backoff } from "../registry/retry.ts"
import { type Budget, type Member, steadyMs } from "./budget.ts"
import { type Fetched, PullFault } from "./carrier.ts"
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
 * Fetches and extracts one layer, from its checkpoint or from nothing. What came damaged is fetched
 * once more from its first byte, as a link or a proxy may have done it; twice, and it is the
 * registry's own. An archive on this disk will not be any better the second time.
 */
export const fetchLayer = (
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
      return Effect.mapError(again, (fault) => twice(fault, source.digest))
    }),
    Effect.mapError((fault) => about(fault, source.digest)),
  )
}

const isDamage = ({ reason }: PullFault): boolean =>
  reason === "digestMismatch" || reason === "damaged"

const twice = (fault: PullFault, digest: string): PullFault => {
  if (!isDamage(fault)) return fault
  const { reason, cause } = fault
  return new PullFault({
    reason,
    cause: `filesystem layer verification failed for digest ${digest}: ${cause}; it was fetched ` +
      "twice, so the registry's copy seems damaged: push the image again",
  })
}

/** What is the matter with the layer itself, and with no other. */
const ITS_OWN = ["notFound", "unsupported", "hostile"]

/** Says which layer it was, where nobody has yet. */
const about = (fault: PullFault, digest: string): PullFault => {
  const { reason, cause } = fault
  if (!ITS_OWN.includes(reason) || cause.includes(digest)) return fault
  return new PullFault({ reason, cause: `layer ${digest}: ${cause}` })
}

const attempt = Effect.fnUntraced(function*(job: FetchMessage, tools: FetchTools) {
  const { id, source } = job
  const extraction = yield* Effect.acquireRelease(
    extracting(() => open(job)),
    (extraction) => Effect.sync(() => extraction.close()),
  )
  const next = yield* source.kind === "registry"
    ? blobFrom(job, source, extraction.blobOffset, tools)
    : regionFrom(source, extraction.blobOffset)
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
  yield* pour(next, member, source.size, tools)
  const fetched = yield* extracting(() => extraction.finish())
  tools.budget.leave(id, true)
  tools.progress(source.size, source.size)
  return fetched
})

const open = ({ directory, diffId, bottom, checkpoint, source }: FetchMessage): Extraction => {
  const blob = source.kind === "registry" ? { digest: source.digest, size: source.size } : null
  return new Extraction({ directory, diffId, bottom, checkpoint, blob })
}

/** Everything that extraction throws is a fault already. */
const extracting = <A>(work: () => A): Effect.Effect<A, PullFault> =>
  Effect.try({ try: work, catch: (error) => faultOf(error, "the layer's extraction") })

type Next = Effect.Effect<Uint8Array | null, PullFault>

/** Feeds the blob's bytes to the extraction, stopping where a checkpoint of all fetches is due. */
const pour = Effect.fnUntraced(
  function*(next: Next, member: FetchMember, total: number, tools: FetchTools) {
    const { id, extraction } = member
    const { budget } = tools
    let reportedMs = 0
    for (;;) {
      yield* budget.room
      const piece = yield* next
      if (piece === null) return
      const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.length)
      for (let at = 0; at < bytes.length;) {
        at += yield* extracting(() => extraction.write(bytes, at))
        if (extraction.stopped) yield* park(budget, id)
      }
      tools.received(bytes.length)
      if ((yield* budget.due(id, bytes.length)) && extraction.stopAtBoundary()) {
        yield* park(budget, id)
      }
      const nowMs = yield* steadyMs
      if (nowMs - reportedMs < PROGRESS_MS) continue
      reportedMs = nowMs
      tools.progress(extraction.blobOffset, total)
    }
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
  Effect.gen(function*() {
    const fd = yield* Effect.acquireRelease(
      Effect.try({ try: () => openFile(path), catch: (error) => faultOf(error, path) }),
      (fd) => Effect.sync(() => closeFile(fd)),
    )
    const buffer = Buffer.allocUnsafeSlow(REGION_BYTES)
    let at = from
    const read = Effect.try({
      try: () => {
        if (at === size) return null
        const piece = buffer.subarray(0, Math.min(buffer.length, size - at))
        const length = readQuietly(fd, piece, offset + at)
        if (length === 0) {
          const cause = `${path} ends before the layer in it does`
          throw new PullFault({ reason: "damaged", cause })
        }
        at += length
        return piece.subarray(0, length)
      },
      catch: (error) => faultOf(error, path),
    })
    // Reading never waits: without this no other message would be heard until the end.
    return Effect.andThen(Effect.yieldNow, read)
  })
