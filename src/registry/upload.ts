import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { passing, RegistryFault } from "./faults.ts"
import { nameOf } from "./http.ts"
import type { Asked, Change, Registry } from "./registry.ts"
import {
  beginUpload, changed, hasBlob, locationIn, type Session, type Target,
} from "./repository.ts"
import type { Tries } from "./retry.ts"

/** Bytes as they come; their digest is known behind the last. */
export interface Reading<E> {
  readonly next: Effect.Effect<Uint8Array | null, E>
  readonly digest: () => string
}

/** Bytes that are made anew whenever they are read, the same each time. */
export type Content<E> = Effect.Effect<Reading<E>, E, Scope.Scope>

export interface Put {
  readonly digest: string
  readonly size: number
}

/** What a registry takes at once; GHCR takes no more than this. Two uploads hold one each. */
const CHUNK_BYTES = 4 * 1024 * 1024
/** A registry may want more at once (`OCI-Chunk-Min-Length`), but not all of our memory. */
const CHUNK_BYTES_MAX = 16 * 1024 * 1024

/** The upload is no more what the registry has of it: it begins anew, with the first byte. */
class Anew extends Schema.TaggedError<Anew>()("Anew", {}) {}
/** The registry knows uploads in one piece only. */
class OnePiece extends Schema.TaggedError<OnePiece>()("OnePiece", {}) {}

const isAnew = (fault: unknown): fault is Anew => fault instanceof Anew
const isOnePiece = (fault: unknown): fault is OnePiece => fault instanceof OnePiece

/** How a registry without PATCH answers one. */
const NO_PATCH = [404, 405, 415, 501]

/**
 * Uploads a blob whose length and digest are known only at its end (distribution specification,
 * "Pushing a blob in chunks"). What fits into one piece goes as one. A connection that breaks is
 * waited out, and the upload goes on where the registry says that it stands. `session`: one that
 * has begun already.
 */
export const putBlob = <E>(
  registry: Registry["Service"],
  target: Target,
  content: Content<E>,
  tries: Tries,
  session: Session | null = null,
): Effect.Effect<Put, RegistryFault | E> =>
  new Upload(registry, target, content, tries).run(session)

class Upload<E> {
  readonly #registry: Registry["Service"]
  readonly #target: Target
  readonly #content: Content<E>
  readonly #tries: Tries
  /** The most bytes that the registry has ever had. */
  #furthest = 0

  constructor(
    registry: Registry["Service"],
    target: Target,
    content: Content<E>,
    tries: Tries,
  ) {
    this.#registry = registry
    this.#target = target
    this.#content = content
    this.#tries = tries
  }

  run(session: Session | null): Effect.Effect<Put, RegistryFault | E> {
    const begun = session === null
      ? this.#tries.repeat(beginUpload(this.#registry, this.#target))
      : Effect.succeed(session)
    return Effect.scoped(Effect.flatMap(begun, (session) => this.#inChunks(session))).pipe(
      Effect.catchIf(isOnePiece, () => this.#inOnePiece()),
      Effect.catchIf(isAnew, () => this.run(null)),
    )
  }

  #inChunks(
    { location, chunkMin }: Session,
  ): Effect.Effect<Put, RegistryFault | Anew | OnePiece | E, Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      const reading = yield* this.#content
      const length = Math.min(CHUNK_BYTES_MAX, Math.max(CHUNK_BYTES, chunkMin))
      const fill = filler(reading.next, Buffer.allocUnsafeSlow(length))
      for (let size = 0, at = location;;) {
        const chunk = yield* fill
        const isLast = chunk.length < length
        const inOne = isLast && size === 0
        if (chunk.length > 0 && !inOne) at = yield* this.#send(at, chunk, size)
        size += chunk.length
        if (!isLast) continue
        const digest = reading.digest()
        yield* this.#close(at, digest, size, inOne ? chunk : NO_BYTES)
        return { digest, size }
      }
    })
  }

  /** Sends a chunk, in as many pieces as the link breaks it into. Answers where to go on. */
  #send(location: string, chunk: Uint8Array, from: number) {
    return Effect.gen({ self: this }, function*() {
      for (let at = location, done = 0;;) {
        const sent = yield* Effect.result(this.#patch(at, chunk.subarray(done), from + done))
        if (sent._tag === "Success") {
          this.#has(from + chunk.length)
          return locationIn(sent.success)
        }
        if (isAnew(sent.failure) || isOnePiece(sent.failure)) return yield* sent.failure
        yield* this.#tries.waitOut(sent.failure)
        const stands = yield* this.#standing(at)
        if (stands === null || stands.bytes < from || stands.bytes > from + chunk.length) {
          return yield* new Anew()
        }
        this.#has(stands.bytes)
        at = stands.location
        done = stands.bytes - from
        if (done === chunk.length) return at
      }
    })
  }

  #has(bytes: number): void {
    if (bytes <= this.#furthest) return
    this.#furthest = bytes
    this.#tries.reset()
  }

  #change(change: Pick<Change, "method" | "target" | "headers" | "body">): Change {
    return { ...this.#target, ...change }
  }

  #patch(location: string, bytes: Uint8Array, from: number) {
    const change = this.#change({
      method: "PATCH",
      target: location,
      headers: { ...OCTETS, "content-range": `${from}-${from + bytes.length - 1}` },
      body: bytes,
    })
    return forgotten(Effect.flatMap(
      changed(this.#registry, change, [202, 416, ...from === 0 ? NO_PATCH : []]),
      (asked): Effect.Effect<Asked, RegistryFault | OnePiece> => {
        const { status } = asked.answer
        if (status === 202) return Effect.succeed(asked)
        const elsewhere = `${nameOf(asked.request)}: the registry does not go on at byte ${from}`
        return Effect.fail(status === 416 ? passing(elsewhere) : new OnePiece())
      },
    ))
  }

  /** How many bytes the registry has of it; null: it cannot say, and must be given all anew. */
  #standing(location: string) {
    const change = this.#change({ method: "GET", target: location })
    const asking = changed(this.#registry, change, [200, 202, 204, 400, 404, 405, 416])
    return Effect.map(this.#tries.repeat(asking), (asked) => {
      const { status, headers } = asked.answer
      if (status >= 400) return null
      const [, last] = /^(?:bytes=)?0-(\d+)$/.exec(headers["range"] ?? "") ?? []
      // "0-0" is one byte, and of old no byte as well: then what is missing cannot be known.
      if (last === undefined || last === "0") return null
      const isMoved = headers["location"] !== undefined
      return { location: isMoved ? locationIn(asked) : location, bytes: Number(last) + 1 }
    })
  }

  /** Says that this was all, and what it comes to; `bytes` is what has not been sent before. */
  #close(
    location: string,
    digest: string,
    size: number,
    body: NonNullable<Change["body"]>,
    headers: Readonly<Record<string, string>> = {},
  ): Effect.Effect<void, RegistryFault | Anew> {
    const url = new URL(location)
    url.searchParams.set("digest", digest)
    const change = this.#change({
      method: "PUT",
      target: url.href,
      headers: { ...OCTETS, ...headers },
      body,
    })
    return forgotten(changed(this.#registry, change, [200, 201, 202, 204])).pipe(
      Effect.asVoid,
      Effect.catch((fault) =>
        Effect.gen({ self: this }, function*() {
          yield* this.#tries.waitOut(fault)
          // The answer may be all that was lost.
          const isThere = yield* this.#tries.repeat(hasBlob(this.#registry, this.#target, digest))
          if (isThere) return
          const stands = body === NO_BYTES ? yield* this.#standing(location) : null
          if (stands?.bytes !== size) return yield* new Anew()
          yield* this.#close(stands.location, digest, size, body)
        })
      ),
    )
  }

  /** Reads all once to learn its length and digest, and sends it as it is read again. */
  #inOnePiece(): Effect.Effect<Put, RegistryFault | E> {
    return Effect.gen({ self: this }, function*() {
      const put = yield* Effect.scoped(Effect.flatMap(this.#content, measured))
      const { location } = yield* this.#tries.repeat(beginUpload(this.#registry, this.#target))
      const reading = yield* this.#content
      let failure: { readonly error: E } | null = null
      const pieces = piecesOf(reading.next, (error) => (failure = { error }))
      const headers = { "content-length": String(put.size) }
      yield* Effect.mapError(
        this.#close(location, put.digest, put.size, pieces, headers),
        (fault) => failure === null ? fault : failure.error,
      )
      return put
    }).pipe(Effect.scoped, Effect.catchIf(isAnew, () => this.#inOnePiece()))
  }
}

/** An upload that the registry does not know any more can begin anew. */
const forgotten = <A, E>(
  work: Effect.Effect<A, RegistryFault | E>,
): Effect.Effect<A, RegistryFault | E> =>
  Effect.mapError(work, (fault) =>
    fault instanceof RegistryFault && fault.reason === "notFound" ? passing(fault.cause) : fault)

const OCTETS = { "content-type": "application/octet-stream" }
const NO_BYTES = new Uint8Array()

/** Fills the buffer, time and again; what it answers is short only at the end. */
const filler = <E>(
  next: Effect.Effect<Uint8Array | null, E>,
  buffer: Buffer,
): Effect.Effect<Uint8Array, E> => {
  let rest: Uint8Array = NO_BYTES
  return Effect.gen(function*() {
    let length = 0
    for (;;) {
      const taken = rest.subarray(0, buffer.length - length)
      buffer.set(taken, length)
      length += taken.length
      rest = rest.subarray(taken.length)
      if (length === buffer.length) return buffer
      const piece = yield* next
      if (piece === null) return buffer.subarray(0, length)
      rest = piece
    }
  })
}

const measured = <E>({ next, digest }: Reading<E>): Effect.Effect<Put, E> =>
  Effect.gen(function*() {
    for (let size = 0;;) {
      const piece = yield* next
      if (piece === null) return { digest: digest(), size }
      size += piece.length
    }
  })

/** Pieces for the HTTP client to take; only once, as they are read only once. */
const piecesOf = <E>(next: Effect.Effect<Uint8Array | null, E>, failed: (error: E) => void) => {
  const read = Effect.tapError(next, (error) => Effect.sync(() => failed(error)))
  let isTaken = false
  return async function*(): AsyncGenerator<Uint8Array> {
    if (isTaken) throw passing("the registry asked for a token in the midst of an upload")
    isTaken = true
    for (;;) {
      const piece = await Effect.runPromise(read)
      if (piece === null) return
      yield piece
    }
  }
}
