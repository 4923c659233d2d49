import { isDeepStrictEqual } from "node:util"

/** A place where two answers differ. */
export interface Difference {
  /** `stdout[].HostConfig.Init` */
  readonly place: string
  readonly ours: unknown
  readonly theirs: unknown
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const kindOf = (value: unknown): string =>
  value === null ? "null" : Array.isArray(value) ? "list" : typeof value

/** Where Go writes null for a list of nothing, an empty list is as good for any client. */
const isSameNothing = (ours: unknown, theirs: unknown): boolean =>
  theirs === null && Array.isArray(ours) && ours.length === 0

/** Every place where two values differ; of `shape` only where keys or kinds do. */
export const differences = (
  ours: unknown,
  theirs: unknown,
  shape: boolean,
  place = "",
): readonly Difference[] => {
  if (isObject(ours) && isObject(theirs)) {
    const keys = [...new Set([...Object.keys(ours), ...Object.keys(theirs)])]
    return keys.flatMap((key) => {
      const here = place === "" ? key : `${place}.${key}`
      if (!(key in ours) || !(key in theirs)) {
        return [{ place: here, ours: ours[key], theirs: theirs[key] }]
      }
      return differences(ours[key], theirs[key], shape, here)
    })
  }
  if (Array.isArray(ours) && Array.isArray(theirs) && (shape || ours.length === theirs.length)) {
    const both = Math.min(ours.length, theirs.length)
    if (both > 0) {
      return ours.slice(0, both)
        .flatMap((each, at) => differences(each, theirs[at], shape, `${place}[]`))
    }
  }
  const same = shape ? kindOf(ours) === kindOf(theirs) : isDeepStrictEqual(ours, theirs)
  return same || isSameNothing(ours, theirs) ? [] : [{ place, ours, theirs }]
}

/** Does a place lie at or below another? */
export const within = (place: string, above: string): boolean =>
  place === above || (place.startsWith(above) && ".[".includes(place[above.length]!))

/** Both sides of a difference; of long texts only the lines that one of them lacks. */
export const shown = (ours: unknown, theirs: unknown): string => {
  const say = (value: unknown, other: unknown): string => {
    if (typeof value !== "string" || typeof other !== "string") return JSON.stringify(value) ?? "-"
    const others = new Set(other.split("\n"))
    const lines = value.split("\n")
    const own = lines.filter((line) => !others.has(line))
    if (own.length > 0) return own.join("\n          ")
    const first = lines.findIndex((line, at) => line !== other.split("\n")[at])
    return `line ${first + 1}: ${lines[first] ?? "(no more)"}`
  }
  return `  ours:   ${say(ours, theirs)}\n  docker: ${say(theirs, ours)}`
}
