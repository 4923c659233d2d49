import * as Result from "effect/Result"
export const deltaOf = (labels: Readonly<Record<string,string>>): Result.Result<{base:string, config:Buffer}|null, string> => {
  const base = labels["io.resin.delta.base"]
  const config = labels["io.resin.delta.config"]
  if (base === undefined || config === undefined) return Result.succeed(null)
  if (!/^sha256:[0-9a-f]{64}$/.test(base)) return Result.fail(`parsing base image "${base}": invalid checksum digest format`)
  return Result.succeed({ base, config: Buffer.from(config) })
}
