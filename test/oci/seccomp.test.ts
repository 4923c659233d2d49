import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { describe, expect, test } from "vitest"
import { DEFAULT_PROFILE, LATER, LATER_WITH_CAPABILITY } from "../../src/oci/seccomp-profile.ts"
import { isSince, parseProfile, resolveProfile, seccompOf } from "../../src/oci/seccomp.ts"

/*
 * What dockerd 20.10 gave its runtime: the rules for no capability at all, and what each single
 * capability adds to them and takes from them.
 */
const dockerd = JSON.parse(
  readFileSync(new URL("../fixtures/oci/dockerd-20.10-seccomp.json", import.meta.url), "utf8"),
)

interface Rule {
  readonly names: readonly string[]
  readonly action: string
  readonly errnoRet?: number
  readonly args?: readonly { readonly valueTwo?: number }[]
}

/** Every (call, action, condition) by itself: how rules are grouped does not matter. */
const single = (rules: readonly Rule[]): readonly string[] =>
  [...new Set(rules.flatMap(({ names, action, errnoRet, args }) =>
    names.map((name) => {
      const plain = (args ?? []).map(({ valueTwo, ...arg }) =>
        valueTwo ? { valueTwo, ...arg } : arg
      )
      return JSON.stringify([name, action, errnoRet ?? null, plain])
    })
  ))].toSorted()

const at = (capabilities: readonly string[], architecture = "amd64", kernel = dockerd.kernel) =>
  resolveProfile(DEFAULT_PROFILE, { capabilities, architecture, kernel })

const added = single([{ names: LATER, action: "SCMP_ACT_ALLOW" }])
const addedBy = (capability: string) =>
  single([{ names: LATER_WITH_CAPABILITY[capability] ?? [], action: "SCMP_ACT_ALLOW" }])
const without = (rules: readonly string[], others: readonly string[]) =>
  rules.filter((rule) => !others.includes(rule))

describe("the default profile is dockerd's, call by call, and what came later", () => {
  test("with no capability", () => {
    const ours = at([])
    expect(ours.defaultAction).toBe(dockerd.defaultAction)
    expect(ours.architectures).toEqual(dockerd.architectures)
    expect(without(single(ours.syscalls), added)).toEqual(single(dockerd.none))
    expect(single(ours.syscalls)).toEqual(expect.arrayContaining([...added]))
  })

  const names = Object.keys(dockerd.capabilities)
  test.each(names)("%s", (name) => {
    const { added: more, removed } = dockerd.capabilities[name]
    const theirs = single([...dockerd.none.filter((rule: Rule) =>
      !removed.some((other: Rule) => JSON.stringify(other) === JSON.stringify(rule))), ...more])
    const ours = without(single(at([name]).syscalls), addedBy(name))
    expect(ours.filter((rule) => !added.includes(rule) || theirs.includes(rule))).toEqual(theirs)
  })

  test.each(["default", "capsall"])("%s", (name) => {
    const { capabilities, beyondNone, missing } = dockerd[name]
    const gone = missing.map((rule: Rule) => JSON.stringify(rule))
    const theirs = single([
      ...dockerd.none.filter((rule: Rule) => !gone.includes(JSON.stringify(rule))),
      ...beyondNone,
    ])
    const later = [...added, ...capabilities.flatMap(addedBy)]
    const ours = single(at(capabilities).syscalls)
    expect(ours.filter((rule) => !later.includes(rule) || theirs.includes(rule))).toEqual(theirs)
  })
})

describe("conditions", () => {
  const allows = (call: string, ...where: Parameters<typeof at>) =>
    at(...where).syscalls.some(({ names, action }) =>
      names.includes(call) && action === "SCMP_ACT_ALLOW"
    )

  test("processors", () => {
    expect(at([], "arm64").architectures).toEqual(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"])
    expect(at([], "arm").architectures).toBeUndefined()
    expect(allows("set_tls", [], "arm")).toBe(true)
    expect(allows("set_tls", [], "amd64")).toBe(false)
    expect(allows("arch_prctl", [], "arm64")).toBe(false)
    expect(allows("modify_ldt", [], "386")).toBe(true)
  })

  test("kernels", () => {
    expect(allows("ptrace", [], "amd64", "4.7.99")).toBe(false)
    expect(allows("ptrace", [], "amd64", "4.8.0-rpi")).toBe(true)
    expect(isSince("6.18.44-fc", "4.8")).toBe(true)
    expect(isSince("4.10", "4.8")).toBe(true)
    expect(isSince("3.10", "4.8")).toBe(false)
  })

  test("without a profile there is no filter", () => {
    expect(Result.getOrThrow(
      seccompOf("unconfined", { capabilities: [], architecture: "amd64", kernel: "6" }),
    )).toBeNull()
  })
})

describe("a profile of one's own", () => {
  const circumstances = { capabilities: ["CAP_CHOWN"], architecture: "amd64", kernel: "5.10" }
  const resolve = (profile: unknown) =>
    Result.match(seccompOf(
      typeof profile === "string" ? profile : JSON.stringify(profile),
      circumstances,
    ), { onSuccess: (seccomp) => seccomp, onFailure: (fault) => fault.cause })

  test("is resolved like the default one", () => {
    expect(resolve({
      defaultAction: "SCMP_ACT_ERRNO",
      defaultErrnoRet: 1,
      architectures: null,
      archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: null }],
      syscalls: [
        { name: "read", action: "SCMP_ACT_ALLOW", args: [], comment: "ignored", includes: {} },
        { names: ["write"], action: "SCMP_ACT_ALLOW", includes: { caps: ["CAP_CHOWN"] } },
        { names: ["open"], action: "SCMP_ACT_ALLOW", excludes: { minKernel: "5.1" } },
        { names: ["close"], action: "SCMP_ACT_ALLOW", includes: { arches: ["arm"] } },
      ],
    })).toEqual({
      defaultAction: "SCMP_ACT_ERRNO",
      defaultErrnoRet: 1,
      architectures: ["SCMP_ARCH_X86_64"],
      syscalls: [
        { names: ["read"], action: "SCMP_ACT_ALLOW" },
        { names: ["write"], action: "SCMP_ACT_ALLOW" },
      ],
    })
  })

  test("is refused if it is none", () => {
    expect(resolve("{")).toMatch(/^Decoding seccomp profile failed: not JSON/)
    expect(resolve({ defaultAction: "X" })).toMatch(/^Decoding seccomp profile.*defaultAction/)
    const rule = { name: "a", names: ["b"], action: "SCMP_ACT_ALLOW" }
    expect(resolve({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule] }))
      .toMatch(/'name' and 'names'/)
    expect(resolve({
      defaultAction: "SCMP_ACT_ALLOW",
      architectures: ["SCMP_ARCH_X86"],
      archMap: [{ architecture: "SCMP_ARCH_X86" }],
    })).toMatch(/'architectures' and 'archMap'/)
    expect(Result.isFailure(parseProfile("null"))).toBe(true)
  })
})
