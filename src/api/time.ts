import { invalid } from "./faults.ts"

const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 }

/**
 * A moment as Docker's clients give it: Unix seconds with a fraction, RFC 3339, or a Go duration
 * before now (`10m`). Milliseconds; null where nothing was given. Throws an `ApiFault`.
 */
export const timeOf = (text: string | null, nowMs: number): number | null => {
  if (text === null || text === "" || text === "0") return null
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000
  if (/^(\d+(\.\d+)?(h|ms|m|s))+$/.test(text)) {
    const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s)/g)]
    return nowMs - parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * UNITS[unit!]!, 0)
  }
  const parsed = Date.parse(text)
  if (Number.isNaN(parsed)) throw invalid(`invalid time: ${text.slice(0, 100)}`)
  return parsed
}
