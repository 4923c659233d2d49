import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { decodeJson } from "./json.ts"
import { DEFAULT_PROFILE } from "./seccomp-profile.ts"

/** When a rule counts: all that is given must be so. */
export interface Condition {
  readonly caps?: readonly string[]
  /** libseccomp's short names: `amd64`, `x86`, `arm`, `arm64`. */
  readonly arches?: readonly string[]
  /** `4.8` */
  readonly minKernel?: string
}

/** A comparison with one argument of a call (runtime-spec, config-linux.md "seccomp"). */
export interface Argument {
  readonly index: number
  readonly value: number
  readonly valueTwo?: number
  readonly op: string
}

export interface ProfileRule {
  readonly names: readonly string[]
  readonly action: string
  readonly errnoRet: number | null
  readonly args: readonly Argument[]
  readonly includes: Condition
  readonly excludes: Condition
}

/** A profile as Docker writes it: conditions on capabilities, processors and kernels and all. */
export interface Profile {
  readonly defaultAction: string
  readonly defaultErrnoRet: number | null
  readonly architectures: readonly string[]
  readonly archMap: readonly {
    readonly architecture: string
    readonly subArchitectures: readonly string[]
  }[]
  readonly syscalls: readonly ProfileRule[]
}

/** `linux.seccomp` of a runtime spec. */
export interface Seccomp {
  readonly defaultAction: string
  readonly defaultErrnoRet?: number
  readonly architectures?: readonly string[]
  readonly syscalls: readonly {
    readonly names: readonly string[]
    readonly action: string
    readonly errnoRet?: number
    readonly args?: readonly Argument[]
  }[]
}

/** A profile that cannot be used. */
export class SeccompFault extends Schema.TaggedError<SeccompFault>()("SeccompFault", {
  cause: Schema.String,
}) {}

/** Go's names of processors, in which platforms are given, as libseccomp calls them. */
const LIBSECCOMP: Readonly<Record<string, { readonly short: string; readonly long: string }>> = {
  amd64: { short: "amd64", long: "SCMP_ARCH_X86_64" },
  "386": { short: "x86", long: "SCMP_ARCH_X86" },
  arm: { short: "arm", long: "SCMP_ARCH_ARM" },
  arm64: { short: "arm64", long: "SCMP_ARCH_AARCH64" },
  riscv64: { short: "riscv64", long: "SCMP_ARCH_RISCV64" },
  ppc64le: { short: "ppc64le", long: "SCMP_ARCH_PPC64LE" },
  s390x: { short: "s390x", long: "SCMP_ARCH_S390X" },
}

const orNull = <S extends Schema.Constraint>(schema: S) =>
  Schema.optionalKey(Schema.NullOr(schema))
const Names = orNull(Schema.Array(Schema.String))
const Whole = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Action = Schema.Literals([
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_LOG",
])
const ConditionJson = orNull(Schema.Struct({
  caps: Names,
  arches: Names,
  minKernel: orNull(Schema.String),
}))

const ProfileJson = Schema.Struct({
  defaultAction: Action,
  defaultErrnoRet: orNull(Whole),
  architectures: Names,
  archMap: orNull(Schema.Array(Schema.Struct({
    architecture: Schema.String,
    subArchitectures: Names,
  }))),
  syscalls: orNull(Schema.Array(Schema.Struct({
    name: orNull(Schema.String),
    names: Names,
    action: Action,
    errnoRet: orNull(Whole),
    args: orNull(Schema.Array(Schema.Struct({
      index: Whole,
      value: Whole,
      valueTwo: orNull(Whole),
      op: Schema.Literals([
        "SCMP_CMP_NE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_EQ",
        "SCMP_CMP_GE",
        "SCMP_CMP_GT",
        "SCMP_CMP_MASKED_EQ",
      ]),
    }))),
    includes: ConditionJson,
    excludes: ConditionJson,
  }))),
})

const decodeProfile = decodeJson(ProfileJson)

/** Reads a profile that a client sent with a container. */
export function parseProfile(text: string): Result.Result<Profile, SeccompFault> {
  const decoded = decodeProfile(text)
  if (Result.isFailure(decoded)) return fail(`Decoding seccomp profile failed: ${decoded.failure}`)
  const json = decoded.success
  if (json.architectures?.length && json.archMap?.length) {
    return fail(
      "'architectures' and 'archMap' were specified in the seccomp profile, "
        + "use either 'architectures' or 'archMap'",
    )
  }
  if (json.syscalls?.some((rule) => rule.name && rule.names?.length)) {
    return fail(
      "'name' and 'names' were specified in the seccomp profile, use either 'name' or 'names'",
    )
  }
  return Result.succeed(fromJson(json))
}

const fail = (cause: string) => Result.fail(new SeccompFault({ cause }))

const fromJson = (json: typeof ProfileJson.Type): Profile => ({
  defaultAction: json.defaultAction,
  defaultErrnoRet: json.defaultErrnoRet ?? null,
  architectures: json.architectures ?? [],
  archMap: (json.archMap ?? []).map(({ architecture, subArchitectures }) => ({
    architecture,
    subArchitectures: subArchitectures ?? [],
  })),
  syscalls: (json.syscalls ?? []).map((rule) => ({
    names: rule.name ? [rule.name] : rule.names ?? [],
    action: rule.action,
    errnoRet: rule.errnoRet ?? null,
    args: (rule.args ?? []).map(({ index, value, valueTwo, op }) =>
      valueTwo ? { index, value, valueTwo, op } : { index, value, op }
    ),
    includes: condition(rule.includes),
    excludes: condition(rule.excludes),
  })),
})

const condition = (json: (typeof ConditionJson)["Type"] | undefined): Condition => ({
  ...(json?.caps?.length ? { caps: json.caps } : {}),
  ...(json?.arches?.length ? { arches: json.arches } : {}),
  ...(json?.minKernel ? { minKernel: json.minKernel } : {}),
})

/** What a profile's conditions are about. */
export interface Circumstances {
  readonly capabilities: readonly string[]
  /** Go's name: `arm64`. */
  readonly architecture: string
  /** `uname -r`: `6.18.44-v8+`. */
  readonly kernel: string
}

/**
 * The filter of a container. `profile`: `default`, `unconfined` (no filter: null), or the JSON text
 * of a profile.
 */
export function seccompOf(
  profile: string,
  circumstances: Circumstances,
): Result.Result<Seccomp | null, SeccompFault> {
  if (profile === "unconfined") return Result.succeed(null)
  const parsed = profile === "default" || profile === ""
    ? Result.succeed(DEFAULT_PROFILE)
    : parseProfile(profile)
  return Result.map(parsed, (profile) => resolveProfile(profile, circumstances))
}

/** A profile with every condition decided. */
export function resolveProfile(profile: Profile, circumstances: Circumstances): Seccomp {
  const { short, long } = LIBSECCOMP[circumstances.architecture]
    ?? { short: circumstances.architecture, long: "" }
  const mapped = profile.archMap.find(({ architecture }) => architecture === long)
  const architectures = mapped === undefined
    ? profile.architectures
    : [mapped.architecture, ...mapped.subArchitectures]
  const rules = profile.syscalls.filter(({ includes, excludes }) =>
    (includes.caps ?? []).every((cap) => circumstances.capabilities.includes(cap))
    && (includes.arches?.includes(short) ?? true)
    && (includes.minKernel === undefined || isSince(circumstances.kernel, includes.minKernel))
    && !(excludes.caps ?? []).some((cap) => circumstances.capabilities.includes(cap))
    && !excludes.arches?.includes(short)
    && !(excludes.minKernel !== undefined && isSince(circumstances.kernel, excludes.minKernel))
  )
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === null ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    ...(architectures.length === 0 ? {} : { architectures }),
    syscalls: rules.map(({ names, action, errnoRet, args }) => ({
      names,
      action,
      ...(errnoRet === null ? {} : { errnoRet }),
      ...(args.length === 0 ? {} : { args }),
    })),
  }
}

/** Is a kernel of this release (`6.1.0-18-arm64`) at least `version` (`4.8`)? */
export function isSince(release: string, version: string): boolean {
  const numbers = (text: string) =>
    (text.match(/^\d+(?:\.\d+)?/)?.[0] ?? "0").split(".").map(Number)
  const [major = 0, minor = 0] = numbers(release)
  const [wantedMajor = 0, wantedMinor = 0] = numbers(version)
  return major > wantedMajor || major === wantedMajor && minor >= wantedMinor
}
