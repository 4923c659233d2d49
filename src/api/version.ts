import { ApiFault } from "./faults.ts"

/** The newest and the oldest API this engine speaks. */
export const API_VERSION = "1.51"
export const MIN_API_VERSION = "1.24"

/** The Docker release this engine is closest to, and our revision of it. */
export const ENGINE_VERSION = "28.3.0-rev1"

const parts = (version: string): number[] => version.split(".").map(Number)

/** Orders dotted versions number by number: below 0 if `a` is older than `b`. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [parts(a), parts(b)]
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** Does a client that speaks `version` know what came with `since`? */
export const speaks = (version: string, since: string): boolean =>
  compareVersions(version, since) >= 0

/** The version a path asks for, within our range; undefined asks for the newest. */
export function negotiate(asked: string | undefined): string | ApiFault {
  if (asked === undefined) return API_VERSION
  if (compareVersions(asked, MIN_API_VERSION) < 0) {
    return ApiFault.of(
      "invalidParameter",
      `client version ${asked} is too old. Minimum supported API version is ${MIN_API_VERSION}, ` +
        "please upgrade your client to a newer version",
    )
  }
  if (compareVersions(asked, API_VERSION) > 0) {
    return ApiFault.of(
      "invalidParameter",
      `client version ${asked} is too new. Maximum supported API version is ${API_VERSION}`,
    )
  }
  return asked
}
