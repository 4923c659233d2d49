import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** Reads JSON from outside by a schema; the failure says what is wrong, and where. */
export function decodeJson<S extends Schema.ConstraintDecoder<unknown>>(schema: S) {
  const decode = Schema.decodeUnknownResult(schema)
  return (bytes: Uint8Array | string): Result.Result<S["Type"], string> => {
    const text = typeof bytes === "string" ? bytes : decoder.decode(bytes)
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (error) {
      return Result.fail(`not JSON: ${error instanceof Error ? error.message : error}`)
    }
    return Result.mapError(decode(value), (error) => error.message.replaceAll("\n ", ""))
  }
}

/**
 * Gives the members of a JSON object the spelling of `names` where they differ only in case, as
 * Go's decoder does: images made by old or foreign tools rely on it. An exact name wins.
 */
export function foldKeys(names: readonly string[], value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value
  const spelling = new Map(names.map((name) => [name.toLowerCase(), name]))
  const folded: Record<string, unknown> = {}
  for (const [key, member] of Object.entries(value)) {
    const name = spelling.get(key.toLowerCase())
    if (name !== undefined && (key === name || !Object.hasOwn(value, name))) folded[name] = member
  }
  return folded
}
