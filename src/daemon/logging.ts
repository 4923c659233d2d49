import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as References from "effect/References"
import type { Settings } from "../settings.ts"

const LEVELS = {
  debug: "Debug",
  info: "Info",
  warn: "Warn",
  error: "Error",
  fatal: "Fatal",
} as const

const levelOf = ({ debug, logLevel }: Settings): LogLevel.LogLevel =>
  debug ? "Debug" : LEVELS[logLevel as keyof typeof LEVELS] ?? "Info"

/**
 * The daemon's log: one line each on stderr, logfmt or JSON. Its level is looked up for each line,
 * as it may be set anew while the daemon runs.
 */
export const logging = (now: () => Settings) => {
  const format = now().logFormat === "json" ? Logger.formatJson : Logger.formatLogFmt
  const write = Logger.make((options) => {
    if (!LogLevel.isGreaterThanOrEqualTo(options.logLevel, levelOf(now()))) return
    process.stderr.write(`${format.log(options)}\n`)
  })
  return Layer.merge(Logger.layer([write]), Layer.succeed(References.MinimumLogLevel, "Trace"))
}
