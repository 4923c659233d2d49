import * as Result from "effect/Result"
import { toBytes } from "../settings/values.ts"

/** How large a container's log may grow, and how many files of that size are kept in all. */
export interface LogLimits {
  readonly bytes: number
  readonly files: number
}

interface Log {
  readonly driver: string
  readonly options: Readonly<Record<string, string>>
}

/** What Docker's `local` driver does unasked; and ours, where journald has the lines as well. */
const BOUNDED: LogLimits = { bytes: 20 * 1024 * 1024, files: 5 }

/**
 * The limits of a log, by its driver's options `max-size` and `max-file`; null: it may grow for
 * ever, as Docker's `json-file` does unasked. Fails with what is wrong, in Docker's words.
 */
export const logLimits = ({ driver, options }: Log): Result.Result<LogLimits | null, string> => {
  const { "max-size": size, "max-file": count } = options
  const unasked = driver === "json-file" ? null : BOUNDED
  if (count !== undefined && !/^-?\d+$/.test(count)) {
    return Result.fail(`strconv.Atoi: parsing ${JSON.stringify(count)}: invalid syntax`)
  }
  const files = count === undefined ? unasked?.files ?? 1 : Number(count)
  if (files < 1) return Result.fail("max-file cannot be less than 1")
  if (driver === "none" || size === "-1") return Result.succeed(null)
  if (size === undefined) return Result.succeed(unasked && { ...unasked, files })
  const bytes = toBytes(size)
  return bytes === null || bytes === 0
    ? Result.fail(`invalid size: '${size}'`)
    : Result.succeed({ bytes, files })
}
