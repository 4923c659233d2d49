import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"

type Line = Readonly<Record<string, unknown>>

/** An error in the middle of a stream: its status is sent already, so it is said in the stream. */
export const inBand = (message: string): Line => ({ errorDetail: { message }, error: message })

/** A failure's own words, or those of a defect, which may be anything. */
const messageOf = (failure: unknown): string =>
  String(Predicate.hasProperty(failure, "message") ? failure.message : failure)

/**
 * Runs `work`, which tells news as it goes, and gives what is to be sent of it line by line. It
 * answers only with the first line: a failure before that is an ordinary one, with a status; after
 * it, a line in the stream. The work ends with the call's scope: when its client is gone.
 */
export const whenTold = <News, A, E extends { readonly message: string }, R = never>(
  work: (tell: (news: News) => void) => Effect.Effect<A, E, R>,
  words: {
    readonly news: (news: News) => readonly Line[]
    readonly end: (outcome: A) => readonly Line[]
  },
) =>
  Effect.gen(function*() {
    const lines = yield* Queue.unbounded<Line, E | Cause.Done>()
    const tell = (news: News) => {
      for (const line of words.news(news)) Queue.offerUnsafe(lines, line)
    }
    const working = Effect.matchCause(work(tell), {
      onSuccess: (outcome) => {
        for (const line of words.end(outcome)) Queue.offerUnsafe(lines, line)
        Queue.endUnsafe(lines)
      },
      onFailure: (cause) => {
        Queue.failCauseUnsafe(lines, cause)
      },
    })
    yield* Effect.forkScoped(working)
    const first = yield* Effect.catchIf(Queue.take(lines), Cause.isDone, () => Effect.succeed(null))
    const rest = Stream.catchCause(Stream.fromQueue(lines), (cause) =>
      Stream.make(inBand(messageOf(Cause.squash(cause)))))
    return first === null ? Stream.empty : Stream.concat(Stream.make(first), rest)
  })
