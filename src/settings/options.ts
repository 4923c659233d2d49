import * as Schema from "effect/Schema"
import { isAddress, isNetwork, toBytes, toHost } from "./values.ts"

/** How an option is written: what one occurrence of the flag adds to what was given before it. */
export type Kind =
  | "text" | "number" | "truth" | "list" | "map" | "ulimits" | "runtimes" | "pools"

/**
 * One option: its flag, its key in daemon.json, and what its value must be. Names and defaults are
 * dockerd's (https://docs.docker.com/reference/cli/dockerd/) and balenaEngine's where it differs.
 */
export interface Option<A> {
  readonly flag: string
  readonly short: string
  readonly key: string
  readonly kind: Kind
  readonly schema: Schema.Codec<A, unknown>
  readonly fallback: A
  readonly help: string
}

interface Extras<A> {
  readonly short?: string
  readonly key?: string
  /** Says what is wrong with a value, or nothing. */
  readonly check?: (value: A) => string | undefined
}

const option = <A>(
  kind: Kind,
  schema: Schema.Codec<A, any>,
  flag: string,
  fallback: A,
  help: string,
  { short = "", key = flag }: Extras<any> = {},
): Option<A> => ({ flag, short, key, kind, schema, fallback, help })

const checked = <A>(check: ((value: A) => string | undefined) | undefined) =>
  Schema.makeFilter((value: A) => check?.(value))

type Row<A, Item = A> =
  (flag: string, fallback: A, help: string, extras?: Extras<Item>) => Option<A>

const text: Row<string> = (flag, fallback, help, extras) =>
  option("text", Schema.String.check(checked(extras?.check)), flag, fallback, help, extras)
const number: Row<number> = (flag, fallback, help, extras) =>
  option("number", Schema.Int.check(checked(extras?.check)), flag, fallback, help, extras)
const truth: Row<boolean> = (flag, fallback, help, extras) =>
  option("truth", Schema.Boolean, flag, fallback, help, extras)
const list: Row<readonly string[], string> = (flag, fallback, help, extras) => {
  const item = Schema.String.check(checked(extras?.check))
  return option("list", Schema.Array(item), flag, fallback, help, extras)
}
const map: Row<Readonly<Record<string, string>>> = (flag, fallback, help, extras) =>
  option("map", Schema.Record(Schema.String, Schema.String), flag, fallback, help, extras)

const oneOf = (what: string, ...words: string[]) => (value: string) =>
  words.includes(value) ? undefined : `${what}: ${value}: it is one of ${words.join(", ")}`
const absolute = (path: string) =>
  path.startsWith("/") ? undefined : `${path} is not an absolute path`
const address = (value: string) =>
  value === "" || isAddress(value) ? undefined : `${value} is not an ip address`
const network = (value: string) =>
  value === "" || isNetwork(value) ? undefined : `invalid CIDR address: ${value}`
const label = (value: string) =>
  value.includes("=") ? undefined : `bad attribute format: ${value}`
const atLeast = (least: number, what: string) => (value: number) =>
  value < least ? `invalid ${what}: ${value}` : undefined
const overlay2 = (value: string) =>
  value === "" || value === "overlay2"
    ? undefined
    : `storage driver ${value} is not supported: overlay2 is the only one`
const mirror = (value: string) =>
  /^https?:\/\/[^/?#@]+\/?$/.test(value) ? undefined : `invalid mirror: ${value}`
const listenable = (value: string) =>
  toHost(value) === null ? `invalid bind address: ${value}` : undefined
const cgroupDriver = (value: string) => {
  const [name, driver] = value.split("=", 2)
  if (name !== "native.cgroupdriver") return `Unknown option: "${value}"`
  return oneOf("invalid cgroup driver", "cgroupfs", "systemd")(driver ?? "")
}
const bytes = Schema.Union([Schema.Int, Schema.String]).check(
  Schema.makeFilter((value: string | number) => toBytes(String(value)) === null
    ? `invalid size: '${value}'`
    : undefined),
)

const Ulimit = Schema.Struct({ soft: Schema.Int, hard: Schema.Int })
const Runtime = Schema.Struct({
  path: Schema.String,
  runtimeargs: Schema.optionalKey(Schema.Array(Schema.String)),
})
export type Ulimit = typeof Ulimit.Type
export type Runtime = typeof Runtime.Type

/** Every option that means something here. Field names are what the rest of the engine reads. */
export const OPTIONS = {
  dataRoot: text("data-root", "/var/lib/balena-engine", "Root directory of persistent state", {
    check: absolute,
  }),
  execRoot: text("exec-root", "/var/run/balena-engine", "Root directory for execution state", {
    check: absolute,
  }),
  pidfile: text("pidfile", "/var/run/balena-engine.pid", "Path to use for daemon PID file", {
    short: "p",
  }),
  hosts: list("host", [], "Daemon socket(s) to listen on", {
    short: "H", key: "hosts", check: listenable,
  }),
  group: text("group", "balena-engine", "Group for the unix socket", { short: "G" }),
  debug: truth("debug", false, "Enable debug mode", { short: "D" }),
  logLevel: text("log-level", "info", "Set the logging level: debug, info, warn, error, fatal", {
    short: "l",
    check: oneOf("unable to parse logging level", "debug", "info", "warn", "error", "fatal"),
  }),
  logFormat: text("log-format", "text", 'Set the logging format: text, json', {
    check: oneOf("invalid log format", "text", "json"),
  }),
  labels: list("label", [], "Set key=value labels to the daemon", { key: "labels", check: label }),
  experimental: truth("experimental", false, "Enable experimental features"),
  features: option(
    "map", Schema.Record(Schema.String, Schema.Boolean), "", {}, "", { key: "features" },
  ),

  storageDriver: text("storage-driver", "", "Storage driver to use (overlay2)", {
    short: "s", check: overlay2,
  }),
  deltaDataRoot: text("delta-data-root", "", "Root directory of a second store, for delta bases"),
  deltaStorageDriver: text("delta-storage-driver", "", "Storage driver of the delta bases", {
    check: overlay2,
  }),
  deltaStorageOpts: list("delta-storage-opt", [], "Storage driver options of the delta bases", {
    key: "delta-storage-opts",
  }),

  bridge: text("bridge", "", "Attach containers to a network bridge (none: no default one)", {
    short: "b",
  }),
  bip: text("bip", "", "Specify network bridge IP", { check: network }),
  fixedCidr: text("fixed-cidr", "", "IPv4 subnet for fixed IPs", { check: network }),
  defaultGateway: text("default-gateway", "", "Container default gateway IPv4 address", {
    check: address,
  }),
  mtu: number("mtu", 1500, "Set the containers network MTU", { check: atLeast(68, "default MTU") }),
  icc: truth("icc", true, "Enable inter-container communication"),
  iptables: truth("iptables", true, "Enable addition of firewall rules"),
  ipForward: truth("ip-forward", true, "Enable net.ipv4.ip_forward"),
  ipMasq: truth("ip-masq", true, "Enable IP masquerading"),
  defaultIp: text("ip", "0.0.0.0", "Default IP when binding container ports", { check: address }),
  hostGatewayIp: text("host-gateway-ip", "", "What host-gateway in --add-host resolves to", {
    check: address,
  }),
  dns: list("dns", [], "DNS server to use", { check: address }),
  dnsOpts: list("dns-opt", [], "DNS options to use", { key: "dns-opts" }),
  dnsSearch: list("dns-search", [], "DNS search domains to use"),

  insecureRegistries: list("insecure-registry", [], "Enable insecure registry communication", {
    key: "insecure-registries",
  }),
  registryMirrors: list("registry-mirror", [], "Preferred registry mirror", {
    key: "registry-mirrors", check: mirror,
  }),

  logDriver: text("log-driver", "json-file", "Default driver for container logs", {
    check: oneOf("log driver is not supported", "json-file", "local", "journald", "none"),
  }),
  logOpts: map("log-opt", {}, "Default log driver options for containers", { key: "log-opts" }),
  execOpts: list("exec-opt", [], "Runtime execution options", {
    key: "exec-opts", check: cgroupDriver,
  }),
  defaultRuntime: text("default-runtime", "runc", "Default OCI runtime for containers"),
  runtimes: option("runtimes", Schema.Record(Schema.String, Runtime), "add-runtime", {},
    "Register an additional OCI compatible runtime", { key: "runtimes" }),
  defaultUlimits: option("ulimits", Schema.Record(Schema.String, Ulimit), "default-ulimit", {},
    "Default ulimits for containers", { key: "default-ulimits" }),
  defaultShmSize: option<string | number>("text", bytes, "default-shm-size", "64MiB",
    "Default shm size for containers"),
  defaultIpcMode: text("default-ipc-mode", "private", "Default mode for ipc: shareable, private", {
    check: oneOf("IPC mode is not supported", "shareable", "private"),
  }),
  defaultCgroupnsMode: text("default-cgroupns-mode", "", "Default cgroups: host, private", {
    check: oneOf("default cgroup namespace mode is invalid", "", "host", "private"),
  }),
  init: truth("init", false, "Run an init in the container to forward signals and reap processes"),
  initPath: text("init-path", "", "Path to the init binary"),
  cgroupParent: text("cgroup-parent", "", "Set parent cgroup for all containers"),
  noNewPrivileges: truth("no-new-privileges", false, "Set no-new-privileges by default"),
  seccompProfile: text("seccomp-profile", "", "Path to seccomp profile"),
  oomScoreAdjust: number("oom-score-adjust", 0, "Set the oom_score_adj for the daemon"),
}

/** Options of dockerd that cannot be honoured here, or need not be. */
export interface LeftOut {
  readonly flag: string
  readonly key: string
  readonly kind: Kind
  /** Refused where it asks for anything; else taken, with a word in the log. */
  readonly refused: boolean
  readonly why: string
}

const leftOut = (refused: boolean, why: string, kind: Kind, ...names: string[]): LeftOut[] =>
  names.map((name) => {
    const [flag = "", key = flag] = name.split("/")
    return { flag, key, kind, refused, why }
  })

const NO_TLS = "TLS on the API socket is not supported: listen on a unix socket"
export const LEFT_OUT: readonly LeftOut[] = [
  ...leftOut(true, NO_TLS, "truth", "tls", "tlsverify"),
  ...leftOut(true, NO_TLS, "text", "tlscacert", "tlscert", "tlskey"),
  ...leftOut(true, "user namespaces are not supported", "text", "userns-remap"),
  ...leftOut(true, "running without root is not supported", "truth", "rootless"),
  ...leftOut(true, "SELinux is not supported", "truth", "selinux-enabled"),
  ...leftOut(true, "plugins are not supported", "list",
    "authorization-plugin/authorization-plugins"),
  ...leftOut(true, "metrics are not supported", "text", "metrics-addr"),
  ...leftOut(true, "IPv6 is not supported", "truth", "ipv6", "ip6tables"),
  ...leftOut(true, "IPv6 is not supported", "text", "fixed-cidr-v6", "default-gateway-v6"),
  ...leftOut(true, "CORS headers are not supported", "text", "api-cors-header"),
  ...leftOut(true, "there is no containerd here", "truth", "cri-containerd"),
  ...leftOut(false, "there is no containerd here", "text",
    "containerd", "containerd-namespace", "containerd-plugins-namespace"),
  ...leftOut(false, "there is no separate proxy program", "text", "userland-proxy-path"),
  ...leftOut(false, "there is no swarm", "text", "swarm-default-advertise-addr"),
  ...leftOut(false, "there is no swarm", "number", "network-control-plane-mtu"),
  ...leftOut(false, "there is no swarm", "list", "node-generic-resource/node-generic-resources"),
  ...leftOut(false, "the log is never coloured", "truth", "raw-logs"),
  ...leftOut(false, "containers always go on when the engine ends", "truth", "live-restore"),
  ...leftOut(false, "containers always go on when the engine ends", "number", "shutdown-timeout"),
  ...leftOut(false, "a pull is tried for as long as it takes, over two connections", "number",
    "max-concurrent-downloads", "max-download-attempts"),
  ...leftOut(false, "images are not pushed yet", "number",
    "max-concurrent-uploads", "max-upload-attempts"),
  ...leftOut(false, "every layer is always made durable, and its own files alone", "list",
    "storage-opt/storage-opts"),
  ...leftOut(false, "there are no networks but the default bridge yet", "pools",
    "default-address-pool/default-address-pools"),
  ...leftOut(false, "published ports are the packet filter's, on loopback too", "truth",
    "userland-proxy"),
  ...leftOut(false, "foreign layers are never pushed", "list",
    "allow-nondistributable-artifacts"),
  ...leftOut(false, "realtime scheduling is left to the kernel", "number",
    "cpu-rt-period", "cpu-rt-runtime"),
]
