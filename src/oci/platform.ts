/**
 * Where an image runs. `variant` is empty where the architecture has but one; names are Go's, as
 * in the OCI image index (image-spec, image-index.md): `linux/arm/v7`, `linux/amd64`.
 */
export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant: string
}

/** Node's names of processors, where Go has others. */
const NODE_ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "386",
  loong64: "loong64",
  mips: "mips",
  mipsel: "mipsle",
}

/**
 * The platform of a machine that calls itself `arch` in Node (`process.arch`). `armVersion` counts
 * on 32-bit ARM only: `process.config.variables.arm_version`, what Node was built for and therefore
 * what the processor can do at least.
 */
export function platformOfNode(arch: string, armVersion: string | undefined): Platform {
  const architecture = NODE_ARCHITECTURES[arch] ?? arch
  return normalisePlatform({
    os: "linux",
    architecture: arch === "ppc64" ? "ppc64le" : architecture,
    variant: architecture === "arm" ? `v${armVersion ?? "7"}` : "",
  })
}

/** This machine. */
export const machinePlatform: Platform = platformOfNode(
  process.arch,
  (process.config.variables as { readonly arm_version?: string }).arm_version,
)

/** Names that mean the same, written one way. After containerd's `platforms.Normalize`. */
export function normalisePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase()
  const variant = platform.variant.toLowerCase()
  const architecture = platform.architecture.toLowerCase()
  switch (architecture) {
    case "i386":
    case "i486":
    case "i586":
    case "i686":
      return { os, architecture: "386", variant: "" }
    case "x86_64":
    case "x86-64":
    case "amd64":
      return { os, architecture: "amd64", variant: variant === "v1" ? "" : variant }
    case "aarch64":
    case "arm64":
      return {
        os,
        architecture: "arm64",
        variant: ["8", "v8", "v8.0"].includes(variant) ? "" : variant,
      }
    case "armhf":
      return { os, architecture: "arm", variant: "v7" }
    case "armel":
      return { os, architecture: "arm", variant: "v6" }
    case "arm":
      return { os, architecture: "arm", variant: armVariant(variant) }
    default:
      return { os, architecture, variant }
  }
}

const armVariant = (variant: string): string =>
  variant === "" ? "v7" : /^[5-8]$/.test(variant) ? `v${variant}` : variant

/** `linux/arm/v7`. */
export const formatPlatform = ({ os, architecture, variant }: Platform): string =>
  [os, architecture, ...(variant === "" ? [] : [variant])].join("/")

/** Go's names of the processors that Linux runs on: all that may be named without a system. */
const ARCHITECTURES = new Set([
  "386", "amd64", "arm", "arm64", "loong64", "mips", "mipsle", "mips64", "mips64le", "ppc64",
  "ppc64le", "riscv64", "s390x",
])

/**
 * Reads `linux/arm/v7`, `arm64`, `linux`: what is not given is `here`'s. Null: not a platform.
 */
export function parsePlatform(text: string, here: Platform): Platform | null {
  const parts = text.split("/")
  if (parts.length > 3 || parts.some((part) => !/^[A-Za-z0-9_.-]+$/.test(part))) return null
  const [first = "", second, third = ""] = parts
  if (second !== undefined) {
    return normalisePlatform({ os: first, architecture: second, variant: third })
  }
  if (first.toLowerCase() === "linux") return here
  const platform = normalisePlatform({ os: here.os, architecture: first, variant: "" })
  return ARCHITECTURES.has(platform.architecture) ? platform : null
}

/**
 * What a machine of `wanted` can run, best first: its own variant, then older ones, then the
 * 32-bit family of the same processors. After containerd's `platforms.Only`.
 */
export function runnable(wanted: Platform): readonly Platform[] {
  const { os, architecture, variant } = normalisePlatform(wanted)
  switch (architecture) {
    case "amd64": {
      const level = /^v([2-9])$/.exec(variant)?.[1]
      const levels = level === undefined ? [] : below(Number(level), 2)
      return [
        ...levels.map((n) => ({ os, architecture, variant: `v${n}` })),
        ...(variant === "" || level !== undefined ? [] : [{ os, architecture, variant }]),
        { os, architecture, variant: "" },
        { os, architecture: "386", variant: "" },
      ]
    }
    case "arm64":
      return [
        { os, architecture, variant },
        ...(variant === "" ? [] : [{ os, architecture, variant: "" }]),
        ...armVariants(os, 8),
      ]
    case "arm": {
      const level = /^v([5-8])$/.exec(variant)?.[1]
      return level === undefined ? [{ os, architecture, variant }] : armVariants(os, Number(level))
    }
    default:
      return [{ os, architecture, variant }]
  }
}

/** `from` down to `to`. */
const below = (from: number, to: number): readonly number[] =>
  Array.from({ length: from - to + 1 }, (_, i) => from - i)

const armVariants = (os: string, from: number): readonly Platform[] =>
  below(from, 5).map((n) => ({ os, architecture: "arm", variant: `v${n}` }))

/**
 * How well `offered` suits `wanted`: 0 is best, larger is worse, -1 not at all.
 */
export function suitability(wanted: Platform, offered: Platform): number {
  const { os, architecture, variant } = normalisePlatform(offered)
  return runnable(wanted).findIndex((platform) =>
    platform.os === os && platform.architecture === architecture && platform.variant === variant
  )
}
