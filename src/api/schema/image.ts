import * as Result from "effect/Result"
import type { ImageView } from "../../engine/views/image.ts"
import { familiarReference, familiarRepository, parseReference } from "../../oci/reference.ts"
import { invalid } from "../faults.ts"
import { speaks } from "../version.ts"

const familiar = (reference: string): string =>
  familiarReference(Result.getOrThrow(parseReference(reference)))

const unix = (rfc3339: string): number => Math.floor((Date.parse(rfc3339) || 0) / 1000)

/** Turns a shell pattern, as Go's `path.Match` reads it, into a test. */
const pattern = (text: string): RegExp => {
  const source = text.replace(/[.+^${}()|\\]/g, "\\$&")
    .replaceAll("*", "[^/]*")
    .replaceAll("?", "[^/]")
  try {
    return new RegExp(`^${source}$`)
  } catch {
    throw invalid("syntax error in pattern")
  }
}

/** Does one of the image's names fit one of the patterns (with or without its tag)? */
export const knownAs = (image: ImageView, patterns: readonly string[] | undefined): boolean =>
  patterns === undefined || [...image.tags, ...image.digests].some((name) => fits(name, patterns))

const fits = (name: string, patterns: readonly string[]): boolean => {
  const reference = Result.getOrThrow(parseReference(name))
  const repository = familiarRepository(reference)
  return patterns.some((text) =>
    pattern(text).test(repository) || pattern(text).test(familiar(name)))
}

/** One line of `GET /images/json`. */
export const imageSummary = (
  image: ImageView,
  version: string,
  patterns: readonly string[] | undefined,
  digests: boolean,
) => {
  const { row, config, bytes, containers } = image
  const shown = (names: readonly string[]) =>
    names.filter((name) => patterns === undefined || fits(name, patterns)).map(familiar)
  const tags = shown(image.tags)
  const repoDigests = shown(image.digests)
  const unnamed = !speaks(version, "1.43")
  return {
    Containers: speaks(version, "1.51") ? containers : -1,
    Created: unix(config.created),
    Id: row.id,
    Labels: Object.keys(config.config.labels).length === 0 ? null : config.config.labels,
    ParentId: "",
    RepoDigests: repoDigests.length === 0 && unnamed && tags.length === 0
      ? ["<none>@<none>"]
      : digests ? repoDigests : [],
    RepoTags: tags.length === 0 && unnamed ? ["<none>:<none>"] : tags,
    SharedSize: -1,
    Size: bytes,
    ...(speaks(version, "1.44") ? {} : { VirtualSize: bytes }),
  }
}

const setOf = (names: readonly string[]) =>
  names.length === 0 ? undefined : Object.fromEntries(names.map((name) => [name, {}]))

/** `GET /images/{name}/json`. */
export const imageInspect = (image: ImageView, version: string) => {
  const { row, config, layers, bytes } = image
  const { config: defaults } = config
  return {
    Id: row.id,
    RepoTags: image.tags.map(familiar),
    RepoDigests: image.digests.map(familiar),
    Parent: "",
    Comment: config.comment,
    ...(config.created === "" ? {} : { Created: config.created }),
    DockerVersion: config.dockerVersion,
    Author: config.author,
    Config: {
      Hostname: "",
      Domainname: "",
      User: defaults.user,
      AttachStdin: false,
      AttachStdout: false,
      AttachStderr: false,
      ExposedPorts: setOf(defaults.exposedPorts),
      Tty: false,
      OpenStdin: false,
      StdinOnce: false,
      Env: defaults.env.length === 0 ? null : defaults.env,
      Cmd: defaults.cmd,
      Healthcheck: healthcheckOf(image),
      ArgsEscaped: defaults.argsEscaped || undefined,
      Image: "",
      Volumes: setOf(defaults.volumes) ?? null,
      WorkingDir: defaults.workingDir,
      Entrypoint: defaults.entrypoint,
      OnBuild: defaults.onBuild.length === 0 ? null : defaults.onBuild,
      Labels: Object.keys(defaults.labels).length === 0 ? null : defaults.labels,
      StopSignal: defaults.stopSignal || undefined,
      StopTimeout: defaults.stopTimeoutS ?? undefined,
      Shell: defaults.shell ?? undefined,
    },
    Architecture: config.architecture,
    ...(config.variant === "" ? {} : { Variant: config.variant }),
    Os: config.os === "" ? "linux" : config.os,
    Size: bytes,
    ...(speaks(version, "1.44") ? {} : { VirtualSize: bytes }),
    GraphDriver: { Data: directoriesOf(image), Name: "overlay2" },
    RootFS: { Type: "layers", Layers: layers.map((layer) => layer.diff_id) },
    Metadata: { LastTagTime: new Date(row.tagged_ms).toISOString() },
  }
}

/** Where the image's files lie, the uppermost layer apart. An image is mounted nowhere. */
const directoriesOf = ({ directories }: ImageView) => {
  const lower = directories.slice(0, -1).reverse().join(":")
  return { ...(lower === "" ? {} : { LowerDir: lower }), UpperDir: directories.at(-1) }
}

const healthcheckOf = ({ config: { config: { healthcheck } } }: ImageView) =>
  healthcheck === null ? undefined : {
    Test: healthcheck.test,
    Interval: healthcheck.intervalNs || undefined,
    Timeout: healthcheck.timeoutNs || undefined,
    StartPeriod: healthcheck.startPeriodNs || undefined,
    StartInterval: healthcheck.startIntervalNs || undefined,
    Retries: healthcheck.retries || undefined,
  }

/** `GET /images/{name}/history`: newest first; a layer's size stands at the step that made it. */
export const historyOf = (image: ImageView) => {
  const sizes = image.layers.map((layer) => layer.bytes)
  const steps = image.config.history.map((entry) => ({
    entry,
    bytes: entry.emptyLayer ? 0 : sizes.shift() ?? 0,
  }))
  const tags = image.tags.map(familiar)
  return steps.reverse().map(({ entry, bytes }, position) => ({
    Comment: entry.comment,
    Created: unix(entry.created),
    CreatedBy: entry.createdBy,
    Id: position === 0 ? image.row.id : "<missing>",
    Size: bytes,
    Tags: position === 0 && tags.length > 0 ? tags : null,
  }))
}
