import { invalid } from "./faults.ts"

const FALSE = new Set(["", "0", "no", "false", "none"])

/** A boolean as Docker reads one: absent, empty, `0`, `no`, `false` and `none` are false. */
export const queryBool = (query: URLSearchParams, key: string, otherwise = false): boolean => {
  const value = query.get(key)
  return value === null ? otherwise : !FALSE.has(value.trim().toLowerCase())
}

/** A whole number; absent and empty give `otherwise`. Throws Go's words for anything else. */
export const queryInt = (query: URLSearchParams, key: string, otherwise: number): number => {
  const value = query.get(key)
  if (value === null || value === "") return otherwise
  if (/^[+-]?\d+$/.test(value) && Number.isSafeInteger(Number(value))) return Number(value)
  throw invalid(`strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`)
}

/** Filters by name; the values of one name are alternatives, except for labels. */
export type Filters = ReadonlyMap<string, readonly string[]>

/**
 * Reads `filters={"name":["value"]}` or its old form `{"name":{"value":true}}`. A name that is not
 * among `known` is refused; null: any will do. Throws an `ApiFault`.
 */
export function queryFilters(query: URLSearchParams, known: readonly string[] | null): Filters {
  const text = query.get("filters")
  const filters = new Map<string, readonly string[]>()
  if (text === null || text === "") return filters
  for (const [name, given] of Object.entries(parsed(text))) {
    const values = Array.isArray(given)
      ? given
      : Object.entries(Object(given)).filter(([, on]) => on === true).map(([value]) => value)
    if (!values.every((value) => typeof value === "string")) throw malformed(text)
    if (known?.includes(name) === false) throw invalid(`invalid filter '${name}'`)
    filters.set(name, values as string[])
  }
  return filters
}

const malformed = (text: string) => invalid(`invalid filters: ${text.slice(0, 200)}`)

function parsed(text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw malformed(text)
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw malformed(text)
  return value as Record<string, unknown>
}

/** A filter that is a boolean (`dangling`, `is-task`): true, false, or not asked. */
export function filterBool(filters: Filters, name: string): boolean | undefined {
  const values = filters.get(name)
  if (values === undefined || values.length === 0) return undefined
  const [value, ...others] = values
  if (others.length === 0 && (value === "true" || value === "1")) return true
  if (others.length === 0 && (value === "false" || value === "0")) return false
  throw invalid(`invalid filter '${name}=[${values.join(" ")}]'`)
}

/** Does a set of labels have all that is asked: `key`, or `key=value`? */
export const labelsMatch = (
  labels: Readonly<Record<string, string>>,
  asked: readonly string[] | undefined,
): boolean =>
  (asked ?? []).every((text) => {
    const at = text.indexOf("=")
    return at < 0
      ? Object.hasOwn(labels, text)
      : Object.hasOwn(labels, text.slice(0, at)) && labels[text.slice(0, at)] === text.slice(at + 1)
  })
