import fc from "fast-check"
import * as Result from "effect/Result"
import { describe, expect, test } from "vitest"
import { DEFAULT_CONFIG_FILE, listenFds, readSettings, reloadSettings } from "../src/settings.ts"
import type { Settings } from "../src/settings.ts"

const noFile = () => null
const read = (words: string[], file?: unknown) =>
  readSettings(words, file === undefined ? noFile : () => JSON.stringify(file))
const settings = (words: string[], file?: unknown): Settings => {
  const request = Result.getOrThrow(read(words, file))
  if (request.action !== "run") throw new Error(`asked for ${request.action}`)
  return request.settings
}
const faultOf = (words: string[], file?: unknown) =>
  Result.match(read(words, file), { onSuccess: () => "none", onFailure: ({ cause }) => cause })

/** Every flag of dockerd 20.10. None may be unknown: each is honoured, noted or refused. */
const DOCKERD = `add-runtime allow-nondistributable-artifacts api-cors-header authorization-plugin
  bip bridge cgroup-parent config-file containerd containerd-namespace containerd-plugins-namespace
  cpu-rt-period cpu-rt-runtime cri-containerd data-root debug default-address-pool
  default-cgroupns-mode default-gateway default-gateway-v6 default-ipc-mode default-runtime
  default-shm-size default-ulimit dns dns-opt dns-search exec-opt exec-root experimental fixed-cidr
  fixed-cidr-v6 group help host host-gateway-ip icc init init-path insecure-registry ip ip-forward
  ip-masq ip6tables iptables ipv6 label live-restore log-driver log-level log-opt
  max-concurrent-downloads max-concurrent-uploads max-download-attempts metrics-addr mtu
  network-control-plane-mtu no-new-privileges node-generic-resource oom-score-adjust pidfile
  raw-logs
  registry-mirror rootless seccomp-profile selinux-enabled shutdown-timeout storage-driver
  storage-opt
  swarm-default-advertise-addr tls tlscacert tlscert tlskey tlsverify userland-proxy
  userland-proxy-path userns-remap version`.split(/\s+/)

describe("the command line", () => {
  test("without a word it gives balenaEngine's defaults", () => {
    expect(settings([])).toMatchObject({
      dataRoot: "/var/lib/balena-engine",
      execRoot: "/var/run/balena-engine",
      pidfile: "/var/run/balena-engine.pid",
      hosts: [{ kind: "unix", path: "/var/run/balena-engine.sock" }],
      group: "balena-engine",
      defaultShmBytes: 64 * 1024 * 1024,
      cgroupDriver: "cgroupfs",
    })
  })

  test("takes what balenaOS starts it with", () => {
    const words = `--experimental --log-driver=journald --storage-driver=overlay2 -H fd://
      -H unix:///var/run/balena.sock -H unix:///var/run/balena-engine.sock --dns 10.114.102.1
      --bip 10.114.101.1/24 --fixed-cidr 10.114.101.0/25 --max-download-attempts=10
      --exec-opt native.cgroupdriver=systemd --add-runtime extension=/usr/bin/ext`
    expect(settings(words.split(/\s+/))).toMatchObject({
      experimental: true,
      logDriver: "journald",
      hosts: [
        { kind: "fd", name: "" },
        { kind: "unix", path: "/var/run/balena.sock" },
        { kind: "unix", path: "/var/run/balena-engine.sock" },
      ],
      dns: ["10.114.102.1"],
      bip: "10.114.101.1/24",
      cgroupDriver: "systemd",
      runtimes: { extension: { path: "/usr/bin/ext" } },
    })
  })

  test("what cannot have an effect is taken, and said", () => {
    const { notes } = settings(["--live-restore", "--max-download-attempts=10", "--icc"])
    expect(notes).toEqual([
      "--live-restore has no effect: containers always go on when the engine ends",
      "--max-download-attempts has no effect: "
      + "a pull is tried for as long as it takes, over two connections",
    ])
  })

  test("a value may follow the flag, an equals sign, or the letter", () => {
    for (const words of [["-l", "debug"], ["-ldebug"], ["-l=debug"], ["--log-level", "debug"]]) {
      expect(settings(words).logLevel).toBe("debug")
    }
    expect(settings(["-D"]).debug).toBe(true)
    expect(settings(["--iptables=false"])).toMatchObject({ iptables: false, ipMasq: false })
  })

  test.each([
    [["--foo"], "unknown flag: --foo\nSee 'balenad --help'."],
    [["--bip"], "flag needs an argument: --bip\nSee 'balenad --help'."],
    [["-D=maybe"], "invalid argument \"maybe\" for \"-D, --debug\" flag\nSee 'balenad --help'."],
    [["start"], "\"balenad\" accepts no argument(s).\nSee 'balenad --help'."],
    [["-l", "loud"], /^unable to parse logging level: loud/],
    [["--dns", "foo"], "foo is not an ip address"],
    [["--label", "ab"], "bad attribute format: ab"],
    [["-s", "btrfs"], "storage driver btrfs is not supported: overlay2 is the only one"],
    [["--mtu", "0"], "invalid default MTU: 0"],
    [["--default-runtime", "foo"], "specified default runtime 'foo' does not exist"],
    [["--bip=10.1.0.1/24", "-b", "br0"], /mutually exclusive/],
    [["--bip=10.1.0.1/24", "--fixed-cidr=10.2.0.0/24"], /is not within/],
    [["--iptables=false", "--icc=false"], /ICC=false uses iptables/],
    [["--tlsverify"], /TLS on the API socket is not supported/],
    [["--data-root", "x"], "x is not an absolute path"],
    [["-H", "ftp://x"], "invalid bind address: ftp://x"],
    [["--delta-data-root", "/d"], /need one another/],
    [["--data-root", "/d", "--exec-root", "/d/"], /different directories/],
  ])("%s is refused", (words, cause) => {
    expect(faultOf(words)).toMatch(cause)
  })

  test("knows every flag of dockerd", () => {
    const unknown = DOCKERD.filter((flag) => faultOf([`--${flag}=x`]).startsWith("unknown"))
    expect(unknown).toEqual([])
  })

  test("help names every flag that does something", () => {
    const request = Result.getOrThrow(read(["--help"]))
    expect(request.action === "help" && request.text).toMatch(/-H, --host list +Daemon socket/)
  })

  test("whatever the words, it answers settings or a fault", () => {
    const word = fc.oneof(fc.string(), fc.constantFrom(...DOCKERD.map((flag) => `--${flag}`)))
    fc.assert(fc.property(fc.array(word), (words) => faultOf(words) !== ""))
  })
})

describe("daemon.json", () => {
  test("gives what no flag gives", () => {
    const file = {
      "insecure-registries": ["10.0.0.0/8"],
      "log-opts": { "max-size": "1m" },
      "default-ulimits": { nofile: { Name: "nofile", Hard: 64000, Soft: 1024 } },
      runtimes: { other: { path: "/usr/bin/other", runtimeArgs: ["--debug"] } },
    }
    expect(settings(["--add-runtime", "extension=/usr/bin/ext"], file)).toMatchObject({
      insecureRegistries: ["10.0.0.0/8"],
      logOpts: { "max-size": "1m" },
      defaultUlimits: { nofile: { soft: 1024, hard: 64000 } },
      runtimes: {
        other: { path: "/usr/bin/other", runtimeargs: ["--debug"] },
        extension: { path: "/usr/bin/ext" },
      },
    })
  })

  const wrong = `unable to configure the balenaEngine daemon with file ${DEFAULT_CONFIG_FILE}: `
  test.each([
    [[], { foo: 1, bar: 2 },
      `${wrong}the following directives don't match any configuration option: bar, foo`],
    [["--debug", "--dns=1.1.1.1"], { dns: ["8.8.8.8"], debug: false },
      `${wrong}the following directives are specified both as a flag and in the configuration `
      + "file: dns: (from flag: [1.1.1.1], from file: [8.8.8.8]), "
      + "debug: (from flag: true, from file: false)"],
    [[], [1], `${wrong}it must hold one JSON object`],
    [[], { debug: "yes" }, "debug: expected boolean"],
    [[], { "userns-remap": "default" }, "--userns-remap: user namespaces are not supported"],
  ])("%s with %s is refused", (words, file, cause) => {
    expect(faultOf(words, file)).toBe(cause)
  })

  test("the default one may be missing, a named one may not", () => {
    expect(faultOf(["--config-file", "/no/such"])).toMatch("open /no/such: no such file")
    expect(faultOf([])).toBe("none")
  })

  test("SIGHUP changes what can change while running, and nothing else", () => {
    const before = settings(["--mtu", "1400"])
    const file = () => JSON.stringify({ debug: true, labels: ["a=b"], icc: false })
    expect(Result.getOrThrow(reloadSettings(before, ["--mtu", "1400"], file)))
      .toEqual({ ...before, debug: true, labels: ["a=b"] })
  })
})

test("systemd's sockets are taken only by the process they are meant for", () => {
  const env = { LISTEN_PID: "7", LISTEN_FDS: "2", LISTEN_FDNAMES: "api:other" }
  expect(listenFds(env, 7)).toEqual([{ fd: 3, name: "api" }, { fd: 4, name: "other" }])
  expect(listenFds(env, 8)).toEqual([])
})
