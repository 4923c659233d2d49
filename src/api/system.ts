import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { listContainers } from "../engine/views/container.ts"
import { sizesOf } from "../engine/views/sizes.ts"
import { diskUse, systemInfo } from "../engine/views/system.ts"
import { type Call, route } from "./route.ts"
import { imageSummary } from "./schema/image.ts"
import { listed } from "./schema/list.ts"
import { json } from "./stream.ts"
import { API_VERSION, ENGINE_VERSION, MIN_API_VERSION } from "./version.ts"

/** What of the settings the system's routes show, as it is when they are asked. */
export interface Shown {
  readonly dataRoot: string
  readonly debug: boolean
  readonly experimental: boolean
  readonly registryMirrors: readonly string[]
  readonly labels: readonly string[]
  readonly logDriver: string
  readonly cgroupDriver: string
  readonly defaultRuntime: string
}

const NO_CACHE = { "cache-control": "no-cache, no-store, must-revalidate", pragma: "no-cache" }

const ping = (body: string) => () =>
  Effect.succeed(HttpServerResponse.text(body, {
    headers: { ...NO_CACHE, "builder-version": "1", swarm: "inactive" },
    contentType: "text/plain; charset=utf-8",
  }))

const GO_ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" }
const architecture = GO_ARCHITECTURES[process.arch] ?? process.arch
const MACHINES: Readonly<Record<string, string>> = {
  x64: "x86_64",
  arm64: "aarch64",
  arm: "armv7l",
}

const version = () =>
  Effect.map(systemInfo, ({ machine }) =>
    json({
      Platform: { Name: "balenaEngine" },
      Components: [{
        Name: "Engine",
        Version: ENGINE_VERSION,
        Details: {
          ApiVersion: API_VERSION,
          Arch: architecture,
          BuildTime: "",
          Experimental: "false",
          GitCommit: "",
          GoVersion: "",
          KernelVersion: machine.kernel,
          MinAPIVersion: MIN_API_VERSION,
          Os: "linux",
        },
      }],
      Version: ENGINE_VERSION,
      ApiVersion: API_VERSION,
      MinAPIVersion: MIN_API_VERSION,
      Engine: "balena-engine",
      GitCommit: "",
      GoVersion: "",
      Os: "linux",
      Arch: architecture,
      KernelVersion: machine.kernel,
      BuildTime: "",
    }))

/** What is so on every Linux machine, and what of Docker's there is not here. */
const FIXED = {
  Driver: "overlay2",
  DriverStatus: [["Layout", "balenaEngine journal"]],
  Plugins: {
    Volume: ["local"],
    Network: ["bridge", "host", "null"],
    Authorization: null,
    Log: ["json-file", "local", "journald", "none"],
  },
  MemoryLimit: true,
  SwapLimit: true,
  CpuCfsPeriod: true,
  CpuCfsQuota: true,
  CPUShares: true,
  CPUSet: true,
  PidsLimit: true,
  BridgeNfIptables: false,
  BridgeNfIp6tables: false,
  NFd: 0,
  NEventsListener: 0,
  OSVersion: "",
  OSType: "linux",
  IndexServerAddress: "https://index.docker.io/v1/",
  GenericResources: null,
  HttpProxy: "",
  HttpsProxy: "",
  NoProxy: "",
  Runtimes: {
    runc: { path: "runc" },
    "io.containerd.runc.v2": { path: "runc" },
    "io.containerd.runtime.v1.linux": { path: "runc" },
  },
  Swarm: {
    NodeID: "",
    NodeAddr: "",
    LocalNodeState: "",
    ControlAvailable: false,
    Error: "",
    RemoteManagers: null,
  },
  LiveRestoreEnabled: true,
  Isolation: "",
  InitBinary: "docker-init",
  ContainerdCommit: { ID: "", Expected: "" },
  RuncCommit: { ID: "", Expected: "" },
  InitCommit: { ID: "", Expected: "" },
  SecurityOptions: ["name=seccomp,profile=builtin"],
  Warnings: null,
}

const info = (shown: () => Shown) => () =>
  Effect.gen(function*() {
    const settings = shown()
    const { census, images, machine, hostname, cgroupVersion, forwarding } = yield* systemInfo
    const now = yield* Clock.currentTimeMillis
    return json({
      ...FIXED,
      ID: hostname,
      Name: hostname,
      Containers: census.all,
      ContainersRunning: census.running,
      ContainersPaused: census.paused,
      ContainersStopped: census.all - census.running - census.paused,
      Images: images,
      IPv4Forwarding: forwarding,
      Debug: settings.debug,
      OomKillDisable: cgroupVersion === 1,
      NGoroutines: machine.threads,
      SystemTime: new Date(now).toISOString(),
      LoggingDriver: settings.logDriver,
      CgroupDriver: settings.cgroupDriver,
      CgroupVersion: String(cgroupVersion),
      KernelVersion: machine.kernel,
      OperatingSystem: machine.system,
      Architecture: MACHINES[process.arch] ?? process.arch,
      RegistryConfig: {
        AllowNondistributableArtifactsCIDRs: [],
        AllowNondistributableArtifactsHostnames: [],
        InsecureRegistryCIDRs: ["127.0.0.0/8"],
        IndexConfigs: {
          "docker.io": {
            Name: "docker.io",
            Mirrors: settings.registryMirrors,
            Secure: true,
            Official: true,
          },
        },
        Mirrors: settings.registryMirrors,
      },
      NCPU: machine.cpus,
      MemTotal: machine.memoryBytes,
      DockerRootDir: settings.dataRoot,
      Labels: settings.labels,
      ExperimentalBuild: settings.experimental,
      ServerVersion: ENGINE_VERSION,
      DefaultRuntime: settings.defaultRuntime,
    })
  })

const df = (call: Call) =>
  Effect.gen(function*() {
    const { uses, layersBytes } = yield* diskUse
    const views = yield* listContainers
    const now = yield* Clock.currentTimeMillis
    const containers = views.map((view) =>
      Effect.map(sizesOf(view), (sizes) => listed(view, view.imageName, now, sizes)))
    return json({
      LayersSize: layersBytes,
      Images: uses.map(({ image, sharedBytes }) => ({
        ...imageSummary(image, call.version, undefined, true),
        Containers: image.containers,
        SharedSize: sharedBytes,
      })),
      Containers: yield* Effect.all(containers),
      Volumes: [],
      BuildCache: [],
    })
  })

/** Routes about the engine itself. */
export const systemRoutes = (settings: () => Shown) => [
  route("GET", "/_ping", ping("OK")),
  route("HEAD", "/_ping", ping("")),
  route("GET", "/version", version),
  route("GET", "/info", info(settings)),
  route("GET", "/system/df", df),
]
