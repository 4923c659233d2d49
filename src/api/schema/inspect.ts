import type { ContainerView } from "../../engine/views/container.ts"
import type { Given } from "./agree.ts"
import type { HostConfig } from "./docker.ts"
import { mountsOf } from "./mounts.ts"
import { networkSettings } from "./network.ts"

/** Docker's way to say never. */
export const NEVER = "0001-01-01T00:00:00Z"

/** A moment as Docker writes it. 0: never. */
export const timeText = (ms: number): string => (ms === 0 ? NEVER : new Date(ms).toISOString())

/** What Docker shows of a `HostConfig` nobody spoke of. */
const HOST_DEFAULTS = {
  Binds: null,
  ContainerIDFile: "",
  LogConfig: { Type: "json-file", Config: {} },
  NetworkMode: "default",
  PortBindings: null,
  RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
  AutoRemove: false,
  VolumeDriver: "",
  VolumesFrom: null,
  ConsoleSize: [0, 0],
  CapAdd: null,
  CapDrop: null,
  CgroupnsMode: "host",
  Dns: null,
  DnsOptions: null,
  DnsSearch: null,
  ExtraHosts: null,
  GroupAdd: null,
  IpcMode: "private",
  Cgroup: "",
  Links: null,
  OomScoreAdj: 0,
  PidMode: "",
  Privileged: false,
  PublishAllPorts: false,
  ReadonlyRootfs: false,
  SecurityOpt: null,
  UTSMode: "",
  UsernsMode: "",
  ShmSize: 64 * 1024 * 1024,
  Runtime: "runc",
  Isolation: "",
  CpuShares: 0,
  Memory: 0,
  NanoCpus: 0,
  CgroupParent: "",
  BlkioWeight: 0,
  BlkioWeightDevice: null,
  BlkioDeviceReadBps: null,
  BlkioDeviceWriteBps: null,
  BlkioDeviceReadIOps: null,
  BlkioDeviceWriteIOps: null,
  CpuPeriod: 0,
  CpuQuota: 0,
  CpuRealtimePeriod: 0,
  CpuRealtimeRuntime: 0,
  CpusetCpus: "",
  CpusetMems: "",
  Devices: null,
  DeviceCgroupRules: null,
  DeviceRequests: null,
  MemoryReservation: 0,
  MemorySwap: 0,
  MemorySwappiness: null,
  OomKillDisable: false,
  PidsLimit: null,
  Ulimits: null,
  CpuCount: 0,
  CpuPercent: 0,
  IOMaximumIOps: 0,
  IOMaximumBandwidth: 0,
  MaskedPaths: null,
  ReadonlyPaths: null,
}

const CONFIG_DEFAULTS = {
  Hostname: "",
  Domainname: "",
  User: "",
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Env: [],
  Cmd: null,
  Image: "",
  Volumes: null,
  WorkingDir: "",
  Entrypoint: null,
  OnBuild: null,
  Labels: {},
}

/** A host's ports, each with both of its members: Docker fills in what was left out. */
const bindings = (ports: HostConfig["PortBindings"]) =>
  ports === undefined ? {} : {
    PortBindings: Object.fromEntries(
      Object.entries(ports).map(([port, all]) =>
        [port, all.map((each) => ({ HostIp: "", HostPort: "", ...each }))]
      ),
    ),
  }

/** A container in the answer to `GET /containers/{id}/json`. */
export function inspected(view: ContainerView) {
  const { Config: config, HostConfig: host, NetworkingConfig: networking } = view.given as Given
  const { terms, home, state } = view
  const [path = "", ...args] = terms.args
  const file = (name: string) => (state.startedMs === 0 ? "" : `${home}/${name}`)
  return {
    Id: view.id,
    Created: timeText(view.createdMs),
    Path: path,
    Args: args,
    State: stateOf(view),
    Image: view.image,
    ResolvConfPath: file("resolv.conf"),
    HostnamePath: file("hostname"),
    HostsPath: file("hosts"),
    LogPath: terms.log.driver === "none" ? "" : file("log"),
    Name: `/${view.name}`,
    RestartCount: state.restarts,
    Driver: "overlay2",
    Platform: "linux",
    MountLabel: "",
    ProcessLabel: "",
    AppArmorProfile: "",
    ExecIDs: null,
    HostConfig: { ...HOST_DEFAULTS, ...host, ...bindings(host.PortBindings) },
    GraphDriver: {
      Name: "overlay2",
      Data: {
        LowerDir: view.lower().join(":"),
        MergedDir: view.rootfs,
        UpperDir: `${home}/upper`,
        WorkDir: `${home}/work`,
      },
    },
    Mounts: mountsOf(config, host).points,
    Config: { ...CONFIG_DEFAULTS, ...config },
    NetworkSettings: networkSettings(view, networking),
  }
}

/** Docker's seven booleans out of our one word. */
function stateOf({ status, state }: ContainerView) {
  const running = status === "running" || status === "paused" || status === "restarting"
  return {
    Status: status,
    Running: running,
    Paused: status === "paused",
    Restarting: status === "restarting",
    OOMKilled: state.oomKilled,
    Dead: status === "dead",
    Pid: state.pid,
    ExitCode: state.pid === 0 ? state.exitCode : 0,
    Error: state.error,
    StartedAt: timeText(state.startedMs),
    FinishedAt: timeText(state.finishedMs),
  }
}
