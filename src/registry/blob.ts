import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Access } from "./access.ts"
import { passing, permanent, type RegistryFault } from "./faults.ts"
import type { Answer } from "./http.ts"
import type { Registry } from "./registry.ts"
import { type Backoff, delayMs } from "./retry.ts"

export interface BlobSource {
  readonly access: Access
  readonly repository: string
  readonly digest: string
  /** Bytes, as the manifest says. Nothing beyond is ever handed out. */
  readonly size: number
  /** Asked in turn before the registry itself: schema 2's foreign layers. */
  readonly urls: readonly string[]
}

export interface BlobOptions {
  readonly backoff: Backoff
  readonly retrying: (cause: string, afterMs: number) => void
}

/** A blob being read from some byte on. It reconnects by itself, at the byte where it broke off. */
export interface BlobReader {
  /** The next bytes, null behind the last. Fails only with what is worth no further try. */
  readonly next: Effect.Effect<Uint8Array | null, RegistryFault>
}

/** A connection that has answered, and how far into its answer the wanted bytes begin. */
interface Open {
  readonly answer: Answer
  readonly scope: Scope.Closeable
  /** Bytes still to be thrown away: of a registry that ignores Range. */
  skip: number
}

/** An answer of the wrong length twice running is no accident. */
const STRIKES_MAX = 2

/**
 * Reads a blob from byte `from` on (RFC 9110 section 14: Range, If-Range). Passing faults are
 * waited out for ever, with back-off, which starts anew with every byte that arrives. The digest is
 * not checked here: whoever extracts the bytes hashes them anyway.
 */
export const readBlob = (
  registry: Registry["Service"],
  source: BlobSource,
  from: number,
  options: BlobOptions,
): Effect.Effect<BlobReader, never, Scope.Scope> =>
  Effect.gen(function*() {
    const reader = new Reader(registry, source, from, options)
    yield* Effect.addFinalizer(() => reader.close)
    return { next: reader.next }
  })

class Reader {
  readonly #registry: Registry["Service"]
  readonly #source: BlobSource
  readonly #options: BlobOptions
  /** The next byte to hand out. */
  #at: number
  #open: Open | null = null
  #etag: string | null = null
  #tries = 0
  #strikes = 0
  #urls: URL[]

  constructor(
    registry: Registry["Service"],
    source: BlobSource,
    from: number,
    options: BlobOptions,
  ) {
    this.#registry = registry
    this.#source = source
    this.#options = options
    this.#at = from
    this.#urls = source.urls.map((url) => URL.parse(url)).filter((url) => url !== null)
  }

  readonly next: Effect.Effect<Uint8Array | null, RegistryFault> = Effect.suspend(() =>
    this.#at === this.#source.size ? Effect.as(this.close, null) : this.#read
  )

  readonly #read: Effect.Effect<Uint8Array | null, RegistryFault> = Effect.suspend(() =>
    Effect.gen({ self: this }, function*() {
      this.#open ??= yield* this.#connect()
      const piece = yield* this.#open.answer.next
      return piece === null ? yield* this.#broken() : this.#take(this.#open, piece)
    })
  ).pipe(
    Effect.catch((fault) => this.#waitOut(fault)),
    Effect.flatMap((piece) => piece.length === 0 ? this.next : Effect.succeed(piece)),
  )

  /** Cuts away what was not asked for, at both ends. */
  #take(open: Open, piece: Uint8Array): Uint8Array {
    const skipped = Math.min(open.skip, piece.length)
    open.skip -= skipped
    const wanted = piece.subarray(skipped, skipped + this.#source.size - this.#at)
    if (wanted.length === 0) return wanted
    this.#at += wanted.length
    this.#tries = 0
    this.#strikes = 0
    return wanted
  }

  /** An answer that ended before the blob did, without the connection having complained. */
  #broken(): RegistryFault {
    return this.#strike(`it ended at byte ${this.#at} of ${this.#source.size}`)
  }

  #strike(what: string): RegistryFault {
    this.#strikes += 1
    const cause = `blob ${this.#source.digest}: ${what}`
    return this.#strikes < STRIKES_MAX ? passing(cause) : permanent("damaged", cause)
  }

  /** Sleeps if another try is worth it, and gives no bytes; fails if not. */
  #waitOut(fault: RegistryFault): Effect.Effect<Uint8Array, RegistryFault> {
    return Effect.gen({ self: this }, function*() {
      yield* this.close
      if (this.#urls.length > 0) {
        // The foreign place has failed; the next, or the registry itself, may have the rest.
        this.#urls.shift()
        this.#etag = null
        return NO_BYTES
      }
      if (!fault.passing) return yield* fault
      this.#tries += 1
      const waitMs = yield* delayMs(this.#options.backoff, this.#tries, fault)
      this.#options.retrying(fault.cause, waitMs)
      yield* Effect.sleep(waitMs)
      return NO_BYTES
    })
  }

  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    const open = this.#open
    this.#open = null
    return open === null ? Effect.void : Scope.close(open.scope, Exit.void)
  })

  #connect(): Effect.Effect<Open, RegistryFault> {
    return Effect.gen({ self: this }, function*() {
      const scope = yield* Scope.make()
      const { access, repository, digest } = this.#source
      const headers = this.#headers()
      const url = this.#urls[0] ?? null
      return yield* this.#registry.blob({ access, repository, digest, url, headers }).pipe(
        Effect.flatMap((answer) => this.#judge(answer)),
        Effect.map(({ answer, skip }) => ({ answer, skip, scope })),
        Scope.provide(scope),
        Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : Scope.close(scope, exit)),
      )
    })
  }

  #headers(): Record<string, string> {
    if (this.#at === 0) return { "accept-encoding": "identity" }
    const range = { "accept-encoding": "identity", range: `bytes=${this.#at}-` }
    return this.#etag === null ? range : { ...range, "if-range": this.#etag }
  }

  /** Is this answer the rest of the blob, or the whole of it? */
  #judge(answer: Answer) {
    return Effect.suspend(() => {
      const { status, headers } = answer
      const { size } = this.#source
      if (status === 416) return this.#strike(`the registry has no byte ${this.#at}`)
      const etag = headers["etag"] ?? null
      this.#etag = etag?.startsWith("W/") ? null : etag
      const length = Number(headers["content-length"] ?? NaN)
      const start = status === 206 ? startOf(headers["content-range"] ?? "", size) : 0
      if (start === null || start > this.#at) {
        return this.#strike(`asked for bytes from ${this.#at} on, got ${headers["content-range"]}`)
      }
      if (!Number.isNaN(length) && length !== size - start) {
        return this.#strike(`the manifest says ${size} bytes, the registry ${start + length}`)
      }
      return Effect.succeed({ answer, skip: this.#at - start })
    })
  }
}

const NO_BYTES = new Uint8Array()

/** Where a part begins; null if it is none of a whole of `size` bytes, up to its end. */
function startOf(contentRange: string, size: number): number | null {
  const [, start, end, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(contentRange) ?? []
  if (start === undefined || Number(end) !== size - 1) return null
  return total === "*" || Number(total) === size ? Number(start) : null
}
