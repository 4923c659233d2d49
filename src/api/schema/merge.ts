import type { Healthcheck, ImageDefaults } from "../../oci/image-config.ts"
import { invalid } from "../faults.ts"
import type { Config } from "./docker.ts"

const nameOf = (entry: string): string => entry.split("=", 1)[0]!
const set = (names: readonly string[]): Record<string, {}> =>
  Object.fromEntries(names.map((name) => [name, {}]))
const filled = <K extends string, V>(key: K, value: V | undefined): { [k in K]?: V } =>
  value === undefined ? {} : { [key]: value } as { [k in K]: V }

/** What a request leaves open is the image's, by Docker's rules. */
export function mergeConfig(asked: Config, image: ImageDefaults): Config {
  const env = asked.Env ?? []
  const known = new Set(env.map(nameOf))
  const hasEntrypoint = (asked.Entrypoint ?? []).length > 0
  const inheritsCmd = !hasEntrypoint && (asked.Cmd ?? []).length === 0
  const entrypoint = asked.Entrypoint ?? image.entrypoint
  // An entrypoint of one empty word says: none, and not the image's either.
  const isReset = entrypoint?.length === 1 && entrypoint[0] === ""
  const exposed = { ...set(image.exposedPorts.map(withProtocol)), ...asked.ExposedPorts }
  const volumes = { ...set(image.volumes), ...asked.Volumes }
  const { Entrypoint: _, Cmd: __, Healthcheck: ___, ExposedPorts: ____, Volumes: _____, ...rest } =
    asked
  return {
    ...rest,
    User: asked.User || image.user,
    Env: [...env, ...image.env.filter((entry) => !known.has(nameOf(entry)))],
    WorkingDir: asked.WorkingDir || image.workingDir,
    Labels: { ...image.labels, ...asked.Labels },
    ...filled("StopSignal", asked.StopSignal || image.stopSignal || undefined),
    ...filled("StopTimeout", asked.StopTimeout ?? image.stopTimeoutS ?? undefined),
    ...filled("Shell", asked.Shell ?? image.shell ?? undefined),
    ...filled("Cmd", (inheritsCmd ? image.cmd : asked.Cmd) ?? undefined),
    ...filled("Entrypoint", isReset ? undefined : entrypoint ?? undefined),
    ...filled("Healthcheck", mergeHealthcheck(asked.Healthcheck, image.healthcheck)),
    ...filled("ExposedPorts", Object.keys(exposed).length > 0 ? exposed : undefined),
    ...filled("Volumes", Object.keys(volumes).length > 0 ? volumes : undefined),
  }
}

const withProtocol = (port: string): string => (port.includes("/") ? port : `${port}/tcp`)

function mergeHealthcheck(
  asked: Config["Healthcheck"],
  image: Healthcheck | null,
): Config["Healthcheck"] {
  if (image === null) return asked
  const whole = (ours: number | undefined, key: string, theirs: number) =>
    ours || theirs ? { [key]: ours || theirs } : {}
  return {
    Test: (asked?.Test ?? []).length > 0 ? asked!.Test! : image.test,
    ...whole(asked?.Interval, "Interval", image.intervalNs),
    ...whole(asked?.Timeout, "Timeout", image.timeoutNs),
    ...whole(asked?.StartPeriod, "StartPeriod", image.startPeriodNs),
    ...whole(asked?.StartInterval, "StartInterval", image.startIntervalNs),
    ...whole(asked?.Retries, "Retries", image.retries),
  }
}

const MILLISECOND_NS = 1_000_000

/** Refuses what Docker refuses of a `Config`, whatever its image says. */
export function checkConfig(config: Config): void {
  const { WorkingDir: cwd = "" } = config
  if (cwd !== "" && !cwd.startsWith("/")) {
    throw invalid(`the working directory '${cwd}' is invalid, it needs to be an absolute path`)
  }
  for (const entry of config.Env ?? []) {
    const isNameless = entry === "" || entry.startsWith("=")
    if (isNameless) throw invalid(`invalid environment variable: ${entry}`)
  }
  if (config.Healthcheck !== undefined) checkHealthcheck(config.Healthcheck)
}

function checkHealthcheck(check: NonNullable<Config["Healthcheck"]>): void {
  for (const name of ["Interval", "Timeout", "StartPeriod", "StartInterval"] as const) {
    const value = check[name] ?? 0
    if (value !== 0 && value < MILLISECOND_NS) {
      throw invalid(`${name} in Healthcheck cannot be less than 1ms`)
    }
  }
  if ((check.Retries ?? 0) < 0) throw invalid("Retries in Healthcheck cannot be negative")
}
