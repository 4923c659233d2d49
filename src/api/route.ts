import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import { ApiFault } from "./faults.ts"

export type Method = "GET" | "POST" | "PUT" | "DELETE" | "HEAD"

/** One call, as a route sees it. */
export interface Call {
  readonly request: HttpServerRequest.HttpServerRequest
  /** The API version the client speaks: `1.41`. */
  readonly version: string
  /** What the path's `{names}` stand for, decoded. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
}

/** What answers a call. Its scope is closed when the answer is sent or the client is gone. */
export type Handler<R> = (
  call: Call,
) => Effect.Effect<HttpServerResponse.HttpServerResponse, unknown, R | Scope.Scope>

/**
 * A route of the API. Its path's `{name}` may hold slashes, as image names do: that is why this is
 * not Effect's router, whose parameters end at a slash.
 */
export interface Route<R> {
  readonly method: Method
  readonly path: string
  readonly handler: Handler<R>
}

export const route = <R>(
  method: Method,
  path: string,
  handler: (call: Call) => Effect.Effect<HttpServerResponse.HttpServerResponse, unknown, R>,
): Route<Exclude<R, Scope.Scope>> => ({
  method,
  path,
  handler: handler as Handler<Exclude<R, Scope.Scope>>,
})

/** Lifts plain code that throws `ApiFault`; anything else it throws is a defect. */
export const attempt = <A>(body: () => A): Effect.Effect<A, ApiFault> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(body())
    } catch (error) {
      return error instanceof ApiFault ? Effect.fail(error) : Effect.die(error)
    }
  })

interface Compiled<R> {
  readonly pattern: RegExp
  readonly handler: Handler<R>
}

export interface Match<R> {
  readonly handler: Handler<R>
  readonly params: Readonly<Record<string, string>>
  /** As the path says; undefined: it says nothing. */
  readonly version: string | undefined
}

const VERSIONED = /^\/v([0-9.]+)(?=\/)/

/** Makes a finder of routes; the first that fits wins. Paths fit with and without a version. */
export function compile<R>(
  routes: readonly Route<R>[],
): (method: string, path: string) => Match<R> | undefined {
  const byPlace = new Map<string, Compiled<R>[]>()
  for (const { method, path, handler } of routes) {
    const source = path.replaceAll(".", "\\.").replace(/\{(\w+)\}/g, "(?<$1>.+)")
    const place = placeOf(method, path)
    const there = byPlace.get(place) ?? []
    byPlace.set(place, [...there, { pattern: new RegExp(`^${source}$`), handler }])
  }
  return (method, path) => {
    const version = VERSIONED.exec(path)?.[1]
    const rest = version === undefined ? path : path.slice(version.length + 2)
    for (const { pattern, handler } of byPlace.get(placeOf(method, rest)) ?? []) {
      const match = pattern.exec(rest)
      if (match !== null) return { handler, params: { ...match.groups }, version }
    }
    return undefined
  }
}

/** Routes are looked up by method and first segment: `GET containers`. */
const placeOf = (method: string, path: string): string => `${method} ${path.split("/", 2)[1] ?? ""}`
