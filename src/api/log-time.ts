import { invalid } from "./faults.ts"
import { timeOf } from "./time.ts"

const NANOS = 1_000_000_000n
const NANOS_PER_MS = 1_000_000

/**
 * A moment in nanoseconds, as exact as it is given: `1795494266.809716487`, or any form `timeOf`
 * reads. null: none. Throws `ApiFault`.
 */
export function nanosOfQuery(query: URLSearchParams, key: string, nowMs: number): bigint | null {
  const text = query.get(key)
  if (text === null || text === "" || text === "0") return null
  const exact = /^(-?\d+)(?:\.(\d{1,9}))?$/.exec(text)
  if (exact !== null) return BigInt(exact[1]!) * NANOS + BigInt((exact[2] ?? "").padEnd(9, "0"))
  const ms = timeOf(text, nowMs)
  if (ms === null) throw invalid(`invalid value for "${key}"`)
  return BigInt(Math.round(ms * NANOS_PER_MS))
}
