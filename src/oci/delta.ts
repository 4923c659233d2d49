import * as Result from "effect/Result"
import { digestFault, digestOf } from "./digest.ts"
import { ConfigFault, type ImageConfig, layersMismatch, parseImageConfig } from "./image-config.ts"

/**
 * balenaEngine's delta images: ordinary images whose configuration has another one in its labels.
 * Their layers are deltas (`src/delta/`) against all layers of the base image.
 */

/** The image the delta was made against: its ID. */
const BASE = "io.resin.delta.base"
/** The configuration of the image it makes, to the byte. */
const CONFIG = "io.resin.delta.config"
/** Ours: the format of its layers, where it is not balenaEngine's. */
const FORMAT = "io.balena.delta.format"

/** How a delta tells the difference: as balenaEngine does, or in frames (docs/deltas.md). */
export const DELTA_FORMATS = ["rsync", "framed"] as const
export type DeltaFormat = (typeof DELTA_FORMATS)[number]

/** What a delta image says of itself. */
export interface DeltaImage {
  /** ID of the image it is made against. */
  readonly baseId: string
  /** ID of the image it makes, which its configuration's bytes hash to. */
  readonly targetId: string
  readonly targetBytes: Uint8Array
  readonly target: ImageConfig
  readonly format: DeltaFormat
}

/** Reads a delta image's labels; null: it is no delta, as it names no base. */
export function deltaImageOf(
  { config, diffIds }: ImageConfig,
): Result.Result<DeltaImage | null, ConfigFault> {
  const base = config.labels[BASE]
  if (base === undefined) return Result.succeed(null)
  const cause = digestFault(base)
  if (cause !== null) return fault(`parsing base image ${JSON.stringify(base)}: ${cause}`)
  const targetBytes = Buffer.from(config.labels[CONFIG] ?? "")
  if (targetBytes.length === 0) {
    return fault(`invalid delta image: it has no ${CONFIG}, so nobody knows what it makes`)
  }
  return Result.flatMap(parseImageConfig(targetBytes), (target) => {
    if (target.config.labels[BASE] !== undefined) {
      return fault("invalid delta image: what it makes is a delta itself, which nobody can run")
    }
    const mismatch = layersMismatch(target.diffIds, diffIds.length)
    return mismatch === null
      ? Result.succeed({
        baseId: base, targetId: digestOf(targetBytes), targetBytes, target,
        format: config.labels[FORMAT] === undefined ? "rsync" : "framed",
      })
      : fault(mismatch)
  })
}

/** What a delta image is made of. */
export interface DeltaParts {
  /** RFC 3339. */
  readonly created: string
  readonly baseId: string
  readonly targetBytes: Uint8Array
  readonly format: DeltaFormat
  /** Digests of the delta layers' tars, as many as the target has layers. */
  readonly diffIds: readonly string[]
}

/** The configuration of a delta image, byte for byte as balenaEngine writes it. */
export function deltaConfig(parts: DeltaParts): Result.Result<Buffer, ConfigFault> {
  let target: string
  try {
    target = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(parts.targetBytes)
  } catch {
    return fault("the target's configuration is not UTF-8, so no delta image can carry it")
  }
  const own = parts.format === "rsync" ? {} : { [FORMAT]: parts.format }
  const json = JSON.stringify({
    created: parts.created,
    container_config: { ...NOTHING, Labels: null },
    config: { ...NOTHING, Labels: { ...own, [BASE]: parts.baseId, [CONFIG]: target } },
    rootfs: { type: "layers", diff_ids: parts.diffIds },
  })
  return Result.succeed(Buffer.from(asGo(json)))
}

/** A container's configuration that says nothing, as Go writes it. */
const NOTHING = {
  Hostname: "", Domainname: "", User: "", AttachStdin: false, AttachStdout: false,
  AttachStderr: false, Tty: false, OpenStdin: false, StdinOnce: false, Env: null, Cmd: null,
  Image: "", Volumes: null, WorkingDir: "", Entrypoint: null, OnBuild: null,
} as const

/** Go's encoder escapes these, too, wherever they stand: they are in strings only. */
const asGo = (json: string): string =>
  json.replace(/[<>&\u2028\u2029]/g, (one) =>
    `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`)

/**
 * How many of a target's layers, from the bottom up, the base image has too (by chain ID, which is
 * the same as long as all diff IDs are). In a delta image an empty tar stands for each.
 */
export function commonLayers(base: readonly string[], target: readonly string[]): number {
  const first = target.findIndex((diffId, n) => base[n] !== diffId)
  return first < 0 ? target.length : first
}

/** What a delta's manifest says of it beside its subject, the image that it makes. */
export interface DeltaNotes {
  /** ID of the image that it is made against. */
  readonly base: string
  /** Of all its layers, as they are sent. */
  readonly bytes: number
}

const BASE_NOTE = "io.balena.delta.base"
const BYTES_NOTE = "io.balena.delta.bytes"

type Annotations = Readonly<Record<string, string>>

/** The annotations of a delta's manifest; registries show them in the list of referrers, too. */
export const deltaAnnotations = ({ base, bytes }: DeltaNotes): Annotations =>
  ({ [BASE_NOTE]: base, [BYTES_NOTE]: String(bytes) })

/** Reads them; empty of what is no delta. */
export const deltaNotes = (annotations: Annotations): DeltaNotes | { readonly base?: never } => {
  const { [BASE_NOTE]: base, [BYTES_NOTE]: bytes = "" } = annotations
  if (base === undefined || !/^sha256:[0-9a-f]{64}$/.test(base)) return {}
  return /^\d{1,15}$/.test(bytes) ? { base, bytes: Number(bytes) } : {}
}

const fault = (cause: string) => Result.fail(new ConfigFault({ cause }))
