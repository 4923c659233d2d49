import { describe, expect, test } from "vitest"
import { probe } from "../../src/kernel/probe.ts"
import { isUnfit, refusalOf } from "../../src/kernel/refusals.ts"

const runc = (text: string) =>
  `time="2026-01-02T03:04:05Z" level=error msg=${
    JSON.stringify(`runc create failed: unable to start container process: ${text}`)
  }\n`

/** What crun 1.8.1 and runc 1.1.5 really said, and what a client is told. */
const SAID: readonly [
  program: string, crun: string, runc: string, exitCode: number, told: RegExp,
][] = [
  [
    "nope",
    "executable file `nope` not found in $PATH: No such file or directory",
    runc('exec: "nope": executable file not found in $PATH'),
    127,
    /unable to start container process: exec: "nope": executable file not found in \$PATH$/,
  ],
  [
    "/nope",
    "executable file `/nope` not found in $PATH: No such file or directory",
    runc('exec: "/nope": stat /nope: no such file or directory'),
    127,
    /exec: "\/nope": stat \/nope: no such file or directory$/,
  ],
  [
    "/etc/notes",
    "open executable: Permission denied",
    runc('exec: "/etc/notes": permission denied'),
    126,
    /exec: "\/etc\/notes": permission denied$/,
  ],
  [
    "/etc/notes/x",
    "open executable: Not a directory",
    runc('exec: "/etc/notes/x": stat /etc/notes/x: not a directory'),
    127,
    /exec: "\/etc\/notes\/x": stat \/etc\/notes\/x: not a directory/,
  ],
  [
    "true",
    "mount `/tmp` to `bin/busybox`: Not a directory",
    runc("error during container init: " +
      'error mounting "/tmp" to rootfs at "/bin/sh": mount /tmp:/bin/sh: not a directory'),
    127,
    /not a directory: Are you trying to mount a directory onto a file/i,
  ],
  [
    "true",
    "error stat'ing file `/gone`: No such file or directory",
    runc("error during container init: " +
      'error mounting "/gone" to rootfs at "/foo": stat /gone: no such file or directory'),
    125,
    /^failed to create task for container: OCI runtime create failed: .*no such file or dir/i,
  ],
]

describe("Refusals", () => {
  test.each(SAID)("%s: both runtimes' words become Docker's", (...row) => {
    const [program, crun, runc, exitCode, told] = row
    for (const said of [crun, runc]) {
      const refusal = refusalOf(said, program)
      expect(refusal.exitCode).toBe(exitCode)
      expect(refusal.cause).toMatch(told)
    }
  })

  test("a runtime unfit for the machine is told from one that refuses a container", () => {
    const unfit = "cgroups in hybrid mode not supported, drop all controllers from cgroupv2"
    expect(isUnfit(unfit)).toBe(true)
    expect(SAID.some(([, crun, runc]) => isUnfit(crun) || isUnfit(runc))).toBe(false)
  })

  test("what is not installed is named, with the package to install", () => {
    const cgroups = { layout: "v2" } as const
    expect(() => probe(null, cgroups, "/nowhere")).toThrow("apt-get install conmon")
    expect(() => probe("/nowhere/crun", cgroups)).toThrow("/nowhere/crun is not installed")
  })
})
