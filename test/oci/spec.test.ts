import { readFileSync } from "node:fs"
import { describe, expect, test } from "vitest"
import { CAPABILITIES, capabilitiesOf } from "../../src/oci/capabilities.ts"
import type { HostDevice } from "../../src/oci/devices.ts"
import { resourcesOf, runtimeSpec, SpecFault, type SpecInput } from "../../src/oci/spec.ts"
import type { MountTerm, Terms } from "../../src/oci/terms.ts"
import { resources, terms } from "./plain-terms.ts"

/*
 * What dockerd 20.10 gave its runtime, case by case, without the seccomp filter (see
 * seccomp.test.ts); of each case but the first only what differs from the first.
 */
const fixture = (name: string) =>
  JSON.parse(readFileSync(new URL(`../fixtures/oci/${name}`, import.meta.url), "utf8"))
const dockerd = fixture("dockerd-20.10-specs.json") as Record<string, any>

const PASSWD = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
app:x:1000:1001:App:/home/app:/bin/sh
broken:x:zero:0::/:
`
const GROUP = `root:x:0:
daemon:x:1:
app:x:1001:
video:x:44:app
audio:x:29:app,daemon
tape:x:26:
`

const device = (path: string, type: "b" | "c", major: number, minor: number, mode = 0o600) =>
  ({ path, type, major, minor, mode, uid: 0, gid: 0 }) satisfies HostDevice
const HOST_DEVICES: Readonly<Record<string, readonly HostDevice[]>> = {
  "/dev": [
    device("/dev/net/tun", "c", 10, 200),
    device("/dev/null", "c", 1, 3, 0o666),
    device("/dev/vda", "b", 254, 0),
  ],
  "/dev/net": [device("/dev/net/tun", "c", 10, 200)],
  "/dev/zero": [device("/dev/zero", "c", 1, 5, 0o666)],
  "/dev/fuse": [device("/dev/fuse", "c", 10, 229)],
}

const input = (over: Partial<Terms> = {}, rest: Partial<SpecInput> = {}): SpecInput => ({
  terms: { ...terms, ...over },
  hostname: "box",
  home: "/home",
  cgroupsPath: "/docker/ID",
  machine: {
    architecture: "amd64",
    kernel: "6.18.44",
    cgroupVersion: 1,
    // dockerd 20.10 was older than the last three.
    capabilities: CAPABILITIES.slice(0, -3),
  },
  initPath: "/usr/bin/docker-init",
  findDevices: (path) => HOST_DEVICES[path] ?? null,
  pidOf: (id) => (id === "other" ? 4711 : null),
  shm: null,
  sharesIpc: () => true,
  ...rest,
})
const rootfs = {
  path: "/rootfs",
  read: (path: string) => ({ "/etc/passwd": PASSWD, "/etc/group": GROUP })[path] ?? null,
}
const specOf = (over: Partial<Terms> = {}, rest: Partial<SpecInput> = {}) =>
  runtimeSpec(input(over, rest), rootfs)
const causeOf = (over: Partial<Terms>, rest: Partial<SpecInput> = {}) => {
  try {
    specOf(over, rest)
    return "no fault"
  } catch (error) {
    expect(error).toBeInstanceOf(SpecFault)
    return (error as SpecFault).message
  }
}

const bind = (source: string, target: string, rest: Partial<MountTerm> = {}): MountTerm => ({
  kind: "bind",
  source,
  target,
  readonly: false,
  propagation: "rprivate",
  options: [],
  create: true,
  ...rest,
})
const tmpfs = (target: string, ...options: readonly string[]): MountTerm =>
  bind("", target, { kind: "tmpfs", options })

const CASES: Readonly<Record<string, readonly [Partial<Terms>, Partial<SpecInput>?]>> = {
  default: [{}],
  privileged: [{ privileged: true }],
  hostns: [
    {
      network: { ...terms.network, mode: "host" },
      pidMode: "host",
      ipcMode: "host",
      utsMode: "host",
    },
    { hostname: "vm" },
  ],
  hostnet: [{ network: { ...terms.network, mode: "host" } }],
  joinns: [
    {
      network: { ...terms.network, mode: "container:other" },
      pidMode: "container:other",
      ipcMode: "container:other",
    },
    { hostname: "other", home: "/home", shm: "/other/mounts/shm" },
  ],
  user: [{ user: "app", cwd: "/tmp", env: ["A=b", "PATH=/bin"], terminal: true }],
  usergroup: [{ user: "1000:video", groups: ["tape", "99"] }],
  usernum: [{ user: "4242" }],
  limits: [{
    resources: {
      ...resources,
      memory: 64 << 20,
      memorySwap: 128 << 20,
      memoryReservation: 32 << 20,
      cpuPeriod: 100_000,
      cpuQuota: 150_000,
      cpuShares: 512,
      cpusetCpus: "0-1",
      cpusetMems: "0",
      pids: 77,
    },
    ulimits: [
      { name: "core", soft: -1, hard: -1 },
      { name: "nofile", soft: 1024, hard: 2048 },
    ],
    sysctls: { "net.core.somaxconn": "300" },
    oomScoreAdj: 500,
  }],
  quota: [{
    resources: {
      ...resources,
      memory: 64 << 20,
      memorySwap: -1,
      oomKillDisable: true,
      cpuPeriod: 50_000,
      cpuQuota: 25_000,
    },
  }],
  pidsneg: [{ resources: { ...resources, pids: -1 } }],
  binds: [{
    shmBytes: 32 << 20,
    mounts: [
      bind("/srv/data", "/data/sub", { readonly: true }),
      bind("/srv", "/m", { readonly: true }),
      bind("/srv", "/nr", { options: ["bind-nonrecursive"] }),
      bind("/srv", "/data"),
      bind("/srv", "/ro", { readonly: true }),
      bind("/srv", "/slave", { propagation: "rslave" }),
      tmpfs("/run", "rw", "size=64m", "mode=755"),
      tmpfs("/scratch"),
      tmpfs("/t2", "mode=1700", "size=1000000"),
    ],
  }],
  readonly: [{ readonlyRootfs: true, mounts: [bind("/srv", "/data")] }],
  readonlypriv: [{ readonlyRootfs: true, privileged: true }],
  tmpfsshm: [{ mounts: [tmpfs("/dev/shm")] }],
  caps: [{ capAdd: ["cap_net_admin", "SYS_ADMIN"], capDrop: ["MKNOD"] }],
  capsall: [{ capAdd: ["ALL"], capDrop: ["NET_RAW"] }],
  capsnone: [{ capDrop: ["all"] }],
  capsnonechown: [{ capDrop: ["ALL"], capAdd: ["chown"] }],
  capsuser: [{ user: "app", capAdd: ["SYS_TIME"] }],
  devices: [{
    devices: [
      { hostPath: "/dev/zero", path: "/dev/xzero", permissions: "r" },
      { hostPath: "/dev/fuse", path: "/dev/fuse", permissions: "rwm" },
    ],
    deviceCgroupRules: ["c 42:* rmw", "b 8:1 r"],
  }],
  devicedir: [{ devices: [{ hostPath: "/dev/net", path: "/dev/net", permissions: "rwm" }] }],
  init: [{ init: true }],
  nnp: [{ noNewPrivileges: true }],
  unconfined: [{ seccomp: "unconfined", maskedPaths: [], readonlyPaths: [] }],
  domain: [{ domainname: "example.com" }],
  cgparent: [{}, { cgroupsPath: "/mine/ID" }],
  ipcnone: [{ ipcMode: "none" }],
}

/** Removes what is only written differently: zeros for no limit, no list for an empty one. */
function plain(spec: any): any {
  const { process, root, hostname, mounts, linux } = JSON.parse(JSON.stringify(spec))
  const { seccomp: _seccomp, resources, ...others } = linux
  const { path: _path, ...rest } = root
  for (const [name, limits] of Object.entries<any>(resources)) {
    if (name === "devices") continue
    for (const [limit, value] of Object.entries(limits)) if (!value) delete limits[limit]
    if (Object.keys(limits).length === 0) delete resources[name]
  }
  for (const list of ["maskedPaths", "readonlyPaths", "devices"]) {
    if (!others[list]?.length) delete others[list]
  }
  return { process, root: rest, hostname, mounts, linux: { ...others, resources } }
}

/** One case of the fixture, whole; null in it: a member the first case has and this one has not. */
function expected(name: string): any {
  const base = structuredClone(dockerd["default"])
  const differing = name === "default" ? {} : dockerd[name]
  for (const [key, value] of Object.entries<any>(differing)) {
    if (["process", "root", "linux"].includes(key)) {
      for (const [member, inner] of Object.entries(value)) {
        if (inner === null) delete base[key][member]
        else base[key][member] = inner
      }
    } else if (value === null) delete base[key]
    else base[key] = value
  }
  return plain(base)
}

describe("a runtime spec is what dockerd would give", () => {
  test("every recorded case is compared", () => {
    expect(Object.keys(CASES).toSorted()).toEqual(Object.keys(dockerd).toSorted())
  })

  test.each(Object.keys(CASES))("%s", (name) => {
    const [over, rest] = CASES[name]!
    const ours = plain(specOf(over, rest))
    const theirs = expected(name)
    if (theirs.linux.maskedPaths) theirs.linux.maskedPaths.push("/sys/devices/virtual/powercap")
    if (name === "usernum") theirs.process.env.push("HOME=/") // runc adds it by itself
    if (name === "joinns") {
      // dockerd's runtime keeps the flags of what it binds: not every runtime does.
      theirs.mounts.at(-1).options.push("nosuid", "noexec", "nodev")
    }
    const byType = (a: any, b: any) => a.type.localeCompare(b.type)
    theirs.process.rlimits?.sort(byType)
    ours.process.rlimits?.sort(byType)
    if (name === "binds") {
      // Among mounts of one depth dockerd's order is that of a hash table.
      const sorted = (mounts: any[]) =>
        mounts.toSorted((a, b) => a.destination.localeCompare(b.destination))
      expect(ours.mounts.map((m: any) => m.destination.split("/").length).slice(7))
        .toEqual(theirs.mounts.map((m: any) => m.destination.split("/").length).slice(7))
      ours.mounts = sorted(ours.mounts)
      theirs.mounts = sorted(theirs.mounts)
    }
    expect(ours).toEqual(theirs)
  })
})

describe("beyond the recorded cases", () => {
  test("an unlimited ulimit is written exactly", () => {
    const spec = specOf({ ulimits: [{ name: "memlock", soft: -1, hard: -1 }] })
    expect(JSON.stringify(spec.process.rlimits)).toBe(
      '[{"type":"RLIMIT_MEMLOCK","hard":18446744073709551615,"soft":18446744073709551615}]')
  })

  test("a private control group is a namespace; cgroup v2 has no OOM switch", () => {
    expect(specOf({ cgroupnsMode: "private" }).linux.namespaces).toContainEqual({ type: "cgroup" })
    expect(specOf().linux.namespaces).not.toContainEqual({ type: "cgroup" })
    const limits = { ...resources, oomKillDisable: true, memorySwappiness: 5 }
    expect(resourcesOf(limits, 2)).toEqual({})
    expect(resourcesOf(limits, 1)).toEqual({ memory: { disableOOMKiller: true, swappiness: 5 } })
  })

  test("someone without an entry is at home in the root", () => {
    expect(specOf({ user: "4242" }).process.env).toContain("HOME=/")
    expect(specOf({ user: "4242", env: ["HOME=/x"] }).process.env).not.toContain("HOME=/")
  })

  test("an IPC namespace is joined only where it is shared", () => {
    expect(causeOf({ ipcMode: "container:other" }, { sharesIpc: () => false })).toBe(
      "can't join IPC of container other: non-shareable IPC " +
        "(hint: use IpcMode:shareable for the donor container)",
    )
  })

  test("the environment: a name alone removes a default", () => {
    expect(specOf({ env: ["PATH", "X=1", "X=2", "EMPTY="] }).process.env)
      .toEqual(["HOSTNAME=box", "X=2", "EMPTY="])
  })

  test("a mount over one of ours takes its place", () => {
    const { mounts } = specOf({
      readonlyRootfs: true,
      mounts: [bind("/srv/hosts", "/etc/hosts"), bind("/dev", "/dev")],
    })
    expect(mounts.filter(({ destination }) => destination === "/etc/hosts"))
      .toEqual([{
        destination: "/etc/hosts",
        type: "bind",
        source: "/srv/hosts",
        options: ["rbind", "rprivate"],
      }])
    expect(mounts.map(({ destination }) => destination)).toEqual(
      ["/proc", "/sys", "/sys/fs/cgroup", "/dev",
        "/etc/hosts", "/etc/resolv.conf", "/etc/hostname"],
    )
  })

  test("of a tmpfs' options the last of a kind counts", () => {
    const options = (...given: readonly string[]) =>
      specOf({ mounts: [tmpfs("/t", ...given)] }).mounts
        .find(({ destination }) => destination === "/t")?.options
    expect(options("exec", "size=1m", "size=2m"))
      .toEqual(["nosuid", "nodev", "rprivate", "exec", "size=2m"])
    expect(options("rshared", "defaults")).toEqual(["noexec", "nosuid", "nodev", "rshared"])
  })

  test("a shared mount needs a shared root", () => {
    const root = (propagation: string) =>
      specOf({ mounts: [bind("/a", "/a", { propagation })] }).linux.rootfsPropagation
    expect(root("rshared")).toBe("shared")
    expect(root("slave")).toBe("rslave")
    expect(root("rprivate")).toBeUndefined()
  })

  test("init is not for a container in another's pid namespace", () => {
    expect(specOf({ init: true, pidMode: "host" }).process.args).toEqual(["sleep", "1000"])
  })

  test("annotations are passed on", () => {
    expect(specOf({ annotations: { a: "b" } }).annotations).toEqual({ a: "b" })
  })

  test("the capabilities of a mask", () => {
    expect(capabilitiesOf("0000000000000003")).toEqual(["CAP_CHOWN", "CAP_DAC_OVERRIDE"])
    expect(capabilitiesOf("000001ffffffffff")).toEqual(CAPABILITIES)
    expect(capabilitiesOf("000001fffeffffff")).not.toContain("CAP_SYS_RESOURCE")
  })
})

describe("faults, in Docker's words", () => {
  test.each<[string, Partial<Terms>, string]>([
    ["user", { user: "foo" }, "unable to find user foo: no matching entries in passwd file"],
    ["a broken entry", { user: "broken" },
      "unable to find user broken: no matching entries in passwd file"],
    ["group", { user: "app:foo" }, "unable to find group foo: no matching entries in group file"],
    ["added group", { groups: ["foo"] },
      "Unable to find group foo: no matching entries in group file"],
    ["range", { user: "4294967295" }, "uids and gids must be in range 0-2147483647"],
    ["range of groups", { user: "0:-1" }, "uids and gids must be in range 0-2147483647"],
    ["capability", { capAdd: ["FOO"] }, 'invalid CapAdd: unknown capability: "CAP_FOO"'],
    ["dropped capability", { capDrop: ["X"] }, 'invalid CapDrop: unknown capability: "CAP_X"'],
    ["device", { devices: [{ hostPath: "/dev/nope", path: "/dev/nope", permissions: "rwm" }] },
      'error gathering device information while adding custom device "/dev/nope": ' +
        "no such file or directory"],
    ["rule", { deviceCgroupRules: ["c 1:2"] }, "invalid device cgroup rule format: 'c 1:2'"],
    ["tmpfs", { mounts: [tmpfs("/t", "loop=1")] }, 'invalid tmpfs option ["loop" "1"]'],
    ["joined", { pidMode: "container:gone" },
      "container gone is not running"],
    ["joined network", { network: { ...terms.network, mode: "container:gone" } },
      "cannot join network of a non running container: gone"],
    ["nothing to run", { args: [] }, "No command specified"],
  ])("%s", (_, over, cause) => expect(causeOf(over)).toBe(cause))

  test("init", () => {
    expect(causeOf({ init: true }, { initPath: null })).toMatch(/"docker-init": executable file/)
  })

  test("an image without passwd and group can be run by number, and as root", () => {
    const bare = { path: "/", read: () => null }
    expect(runtimeSpec(input({ user: "5:6" }), bare).process.user)
      .toEqual({ uid: 5, gid: 6, additionalGids: [6] })
    expect(runtimeSpec(input(), bare).process.user.uid).toBe(0)
    expect(() => runtimeSpec(input({ user: "app" }), bare)).toThrow(/unable to find user app/)
  })
})
