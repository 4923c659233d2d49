import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Digest } from "./digest.ts"
import { decodeJson, foldKeys } from "./json.ts"

/**
 * What an image says of itself (OCI image-spec, config.md; Docker's older form is the same JSON
 * with more in it). The bytes it was read from stay the truth: their digest is the image's ID, and
 * what is not listed here is kept only in them.
 */
export interface ImageConfig {
  readonly architecture: string
  readonly os: string
  readonly variant: string
  readonly osVersion: string
  /** RFC 3339; empty: not said. */
  readonly created: string
  readonly author: string
  readonly comment: string
  readonly dockerVersion: string
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly string[]
  readonly history: readonly HistoryEntry[]
  readonly config: ImageDefaults
}

export interface HistoryEntry {
  readonly created: string
  readonly createdBy: string
  readonly author: string
  readonly comment: string
  /** true: this step made no layer. */
  readonly emptyLayer: boolean
}

/** What a container of the image gets unless it is asked for otherwise. */
export interface ImageDefaults {
  readonly env: readonly string[]
  /** null: not said, which is not the same as empty. */
  readonly cmd: readonly string[] | null
  readonly entrypoint: readonly string[] | null
  readonly workingDir: string
  readonly user: string
  readonly labels: Readonly<Record<string, string>>
  /** `80/tcp`. */
  readonly exposedPorts: readonly string[]
  /** Paths in the container. */
  readonly volumes: readonly string[]
  readonly stopSignal: string
  /** null: not said. */
  readonly stopTimeoutS: number | null
  readonly healthcheck: Healthcheck | null
  readonly shell: readonly string[] | null
  readonly onBuild: readonly string[]
  readonly argsEscaped: boolean
}

/** A health check; times in nanoseconds as Docker keeps them, 0: the default. */
export interface Healthcheck {
  /** `[]`: inherit, `["NONE"]`: none, `["CMD", …]`, `["CMD-SHELL", line]`. */
  readonly test: readonly string[]
  readonly intervalNs: number
  readonly timeoutNs: number
  readonly startPeriodNs: number
  readonly startIntervalNs: number
  readonly retries: number
}

/** An image configuration that cannot be used. */
export class ConfigFault extends Schema.TaggedError<ConfigFault>()("ConfigFault", {
  cause: Schema.String,
}) {}

const orNull = <S extends Schema.Constraint>(schema: S) =>
  Schema.optionalKey(Schema.NullOr(schema))
const Text = orNull(Schema.String)
const Texts = orNull(Schema.Array(Schema.String))
/** A list of words; Docker also takes one word alone (its `StrSlice`). */
const Words = orNull(Schema.Union([Schema.String, Schema.Array(Schema.String)]))
/** A set of names, which Go writes as an object of empty objects. */
const Names = orNull(Schema.Record(Schema.String, Schema.Unknown))
const Count = orNull(Schema.Number)

const HealthcheckJson = Schema.Struct({
  Test: Words,
  Interval: Count,
  Timeout: Count,
  StartPeriod: Count,
  StartInterval: Count,
  Retries: Count,
})

const DefaultsJson = Schema.Struct({
  Env: Texts,
  Cmd: Words,
  Entrypoint: Words,
  WorkingDir: Text,
  User: Text,
  Labels: orNull(Schema.Record(Schema.String, Schema.NullOr(Schema.String))),
  ExposedPorts: Names,
  Volumes: Names,
  StopSignal: Text,
  StopTimeout: Count,
  Healthcheck: orNull(HealthcheckJson),
  Shell: Words,
  OnBuild: Texts,
  ArgsEscaped: orNull(Schema.Boolean),
})

const HistoryJson = Schema.Struct({
  created: Text,
  created_by: Text,
  author: Text,
  comment: Text,
  empty_layer: orNull(Schema.Boolean),
})

const ConfigJson = Schema.Struct({
  architecture: Text,
  os: Text,
  variant: Text,
  "os.version": Text,
  created: Text,
  author: Text,
  comment: Text,
  docker_version: Text,
  rootfs: orNull(Schema.Struct({
    type: Text,
    diff_ids: orNull(Schema.Array(Digest)),
  })),
  history: orNull(Schema.Array(HistoryJson)),
  config: orNull(DefaultsJson),
})

const decodeConfig = decodeJson(Schema.Unknown)
const decodeFolded = Schema.decodeUnknownResult(ConfigJson)

/** The members' own spelling, at every level where tools have been seen to differ. */
function folded(value: unknown): unknown {
  const top = foldKeys(Object.keys(ConfigJson.fields), value) as Record<string, unknown>
  if (typeof top !== "object" || top === null || Array.isArray(top)) return top
  const config = foldKeys(Object.keys(DefaultsJson.fields), top["config"])
  if (typeof config === "object" && config !== null && !Array.isArray(config)) {
    const defaults = config as Record<string, unknown>
    defaults["Healthcheck"] = foldKeys(
      Object.keys(HealthcheckJson.fields),
      defaults["Healthcheck"] ?? null,
    )
  }
  return { ...top, config: config ?? null }
}

/**
 * Reads an image's configuration as leniently as Docker does: members of any case, null for
 * anything absent, unknown members ignored. A config without a root file system is refused.
 */
export function parseImageConfig(bytes: Uint8Array): Result.Result<ImageConfig, ConfigFault> {
  const json = Result.flatMap(
    decodeConfig(bytes),
    (value) => Result.mapError(decodeFolded(folded(value)), (error) => error.message),
  )
  if (Result.isFailure(json)) {
    return Result.fail(
      new ConfigFault({ cause: `invalid image configuration: ${json.failure}` }),
    )
  }
  const { rootfs } = json.success
  if (!rootfs || rootfs.type && rootfs.type !== "layers") {
    return Result.fail(new ConfigFault({ cause: "invalid rootfs in image configuration" }))
  }
  return Result.succeed(fromJson(json.success, rootfs.diff_ids ?? []))
}

function fromJson(json: typeof ConfigJson.Type, diffIds: readonly string[]): ImageConfig {
  return {
    architecture: json.architecture ?? "",
    os: json.os ?? "",
    variant: json.variant ?? "",
    osVersion: json["os.version"] ?? "",
    created: json.created ?? "",
    author: json.author ?? "",
    comment: json.comment ?? "",
    dockerVersion: json.docker_version ?? "",
    diffIds,
    history: (json.history ?? []).map((entry) => ({
      created: entry.created ?? "",
      createdBy: entry.created_by ?? "",
      author: entry.author ?? "",
      comment: entry.comment ?? "",
      emptyLayer: entry.empty_layer ?? false,
    })),
    config: defaultsOf(json.config ?? {}),
  }
}

const words = (value: string | readonly string[] | null | undefined): readonly string[] | null =>
  typeof value === "string" ? [value] : value ?? null

function defaultsOf(json: typeof DefaultsJson.Type): ImageDefaults {
  const labels = Object.entries(json.Labels ?? {}).map(([name, value]) => [name, value ?? ""])
  return {
    env: json.Env ?? [],
    cmd: words(json.Cmd),
    entrypoint: words(json.Entrypoint),
    workingDir: json.WorkingDir ?? "",
    user: json.User ?? "",
    labels: Object.fromEntries(labels),
    exposedPorts: Object.keys(json.ExposedPorts ?? {}),
    volumes: Object.keys(json.Volumes ?? {}),
    stopSignal: json.StopSignal ?? "",
    stopTimeoutS: json.StopTimeout ?? null,
    healthcheck: json.Healthcheck ? healthcheckOf(json.Healthcheck) : null,
    shell: words(json.Shell),
    onBuild: json.OnBuild ?? [],
    argsEscaped: json.ArgsEscaped ?? false,
  }
}

const healthcheckOf = (json: typeof HealthcheckJson.Type): Healthcheck => ({
  test: words(json.Test) ?? [],
  intervalNs: json.Interval ?? 0,
  timeoutNs: json.Timeout ?? 0,
  startPeriodNs: json.StartPeriod ?? 0,
  startIntervalNs: json.StartInterval ?? 0,
  retries: json.Retries ?? 0,
})

/** The layers are not those the configuration lists, in balenaEngine's words. */
export const LAYERS_MISMATCH = "layers from manifest don't match image configuration"
/** Is that so by their number? Then its words; or null. */
export const layersMismatch = (diffIds: readonly string[], layers: number): string | null =>
  diffIds.length === layers ? null : LAYERS_MISMATCH
