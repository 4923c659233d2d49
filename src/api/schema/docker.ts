import * as Schema from "effect/Schema"

/**
 * Docker's JSON as it comes in (Docker Engine API v1.51, and what older clients still send). Every
 * member may be absent or null; `decodeGo` reads them.
 */
const opt = Schema.optionalKey
const Text = opt(Schema.String)
const Flag = opt(Schema.Boolean)
const Whole = opt(Schema.Number)
const Texts = opt(Schema.Array(Schema.String))
/** A word alone or a list of words; read as a list. */
const Words = opt(Schema.Union([Schema.Array(Schema.String)]))
const Labels = opt(Schema.Record(Schema.String, Schema.String))
/** Go's set: an object of empty objects. */
const Names = opt(Schema.Record(Schema.String, Schema.Struct({})))
const list = <S extends Schema.Constraint>(item: S) => opt(Schema.Array(item))

const Healthcheck = Schema.Struct({
  Test: Texts,
  Interval: Whole,
  Timeout: Whole,
  StartPeriod: Whole,
  StartInterval: Whole,
  Retries: Whole,
})

const config = {
  Hostname: Text,
  Domainname: Text,
  User: Text,
  AttachStdin: Flag,
  AttachStdout: Flag,
  AttachStderr: Flag,
  ExposedPorts: Names,
  Tty: Flag,
  OpenStdin: Flag,
  StdinOnce: Flag,
  Env: Texts,
  Cmd: Words,
  Healthcheck: opt(Healthcheck),
  ArgsEscaped: Flag,
  Image: Text,
  Volumes: Names,
  WorkingDir: Text,
  Entrypoint: Words,
  NetworkDisabled: Flag,
  MacAddress: Text,
  OnBuild: Texts,
  Labels,
  StopSignal: Text,
  StopTimeout: Whole,
  Shell: Words,
} as const
export const Config = Schema.Struct(config)
export type Config = typeof Config.Type

export const RestartPolicy = Schema.Struct({ Name: Text, MaximumRetryCount: Whole })

const WeightDevice = Schema.Struct({ Path: Text, Weight: Whole })
const ThrottleDevice = Schema.Struct({ Path: Text, Rate: Whole })
const Device = Schema.Struct({ PathOnHost: Text, PathInContainer: Text, CgroupPermissions: Text })
const DeviceRequest = Schema.Struct({
  Driver: Text,
  Count: Whole,
  DeviceIDs: Texts,
  Capabilities: list(Schema.Array(Schema.String)),
  Options: Labels,
})
const Ulimit = Schema.Struct({ Name: Text, Hard: Whole, Soft: Whole })

/** Limits, which update takes too. */
const resources = {
  CpuShares: Whole,
  Memory: Whole,
  NanoCpus: Whole,
  CgroupParent: Text,
  BlkioWeight: Whole,
  BlkioWeightDevice: list(WeightDevice),
  BlkioDeviceReadBps: list(ThrottleDevice),
  BlkioDeviceWriteBps: list(ThrottleDevice),
  BlkioDeviceReadIOps: list(ThrottleDevice),
  BlkioDeviceWriteIOps: list(ThrottleDevice),
  CpuPeriod: Whole,
  CpuQuota: Whole,
  CpuRealtimePeriod: Whole,
  CpuRealtimeRuntime: Whole,
  CpusetCpus: Text,
  CpusetMems: Text,
  Devices: list(Device),
  DeviceCgroupRules: Texts,
  DeviceRequests: list(DeviceRequest),
  KernelMemory: Whole,
  KernelMemoryTCP: Whole,
  MemoryReservation: Whole,
  MemorySwap: Whole,
  MemorySwappiness: Whole,
  OomKillDisable: Flag,
  PidsLimit: Whole,
  Ulimits: list(Ulimit),
  CpuCount: Whole,
  CpuPercent: Whole,
  IOMaximumIOps: Whole,
  IOMaximumBandwidth: Whole,
} as const
export const Resources = Schema.Struct(resources)
export type Resources = typeof Resources.Type

const Mount = Schema.Struct({
  Type: Text,
  Source: Text,
  Target: Text,
  ReadOnly: Flag,
  Consistency: Text,
  BindOptions: opt(Schema.Struct({
    Propagation: Text,
    NonRecursive: Flag,
    CreateMountpoint: Flag,
    ReadOnlyNonRecursive: Flag,
    ReadOnlyForceRecursive: Flag,
  })),
  VolumeOptions: opt(Schema.Struct({
    NoCopy: Flag,
    Labels,
    Subpath: Text,
    DriverConfig: opt(Schema.Struct({ Name: Text, Options: Labels })),
  })),
  ImageOptions: opt(Schema.Struct({ Subpath: Text })),
  TmpfsOptions: opt(Schema.Struct({
    SizeBytes: Whole,
    Mode: Whole,
    Options: list(Schema.Array(Schema.String)),
  })),
})
export type Mount = typeof Mount.Type

const PortBinding = Schema.Struct({ HostIp: Text, HostPort: Text })

export const HostConfig = Schema.Struct({
  Binds: Texts,
  ContainerIDFile: Text,
  ContainerIDEnv: Text, // balenaEngine's: the variable that tells a container its ID
  LogConfig: opt(Schema.Struct({ Type: Text, Config: Labels })),
  NetworkMode: Text,
  PortBindings: opt(Schema.Record(Schema.String, Schema.Array(PortBinding))),
  RestartPolicy: opt(RestartPolicy),
  AutoRemove: Flag,
  VolumeDriver: Text,
  VolumesFrom: Texts,
  ConsoleSize: list(Schema.Number),
  Annotations: Labels,
  CapAdd: Words,
  CapDrop: Words,
  CgroupnsMode: Text,
  Dns: Texts,
  DnsOptions: Texts,
  DnsSearch: Texts,
  ExtraHosts: Texts,
  GroupAdd: Texts,
  IpcMode: Text,
  Cgroup: Text,
  Links: Texts,
  OomScoreAdj: Whole,
  PidMode: Text,
  Privileged: Flag,
  PublishAllPorts: Flag,
  ReadonlyRootfs: Flag,
  SecurityOpt: Texts,
  StorageOpt: Labels,
  Tmpfs: Labels,
  UTSMode: Text,
  UsernsMode: Text,
  ShmSize: Whole,
  Sysctls: Labels,
  Runtime: Text,
  Isolation: Text,
  ...resources,
  Mounts: list(Mount),
  MaskedPaths: Texts,
  ReadonlyPaths: Texts,
  Init: Flag,
})
export type HostConfig = typeof HostConfig.Type

const EndpointConfig = Schema.Struct({
  IPAMConfig: opt(Schema.Struct({ IPv4Address: Text, IPv6Address: Text, LinkLocalIPs: Texts })),
  Links: Texts,
  Aliases: Texts,
  MacAddress: Text,
  DriverOpts: Labels,
  GwPriority: Whole,
})
export const NetworkingConfig = Schema.Struct({
  EndpointsConfig: opt(Schema.Record(Schema.String, EndpointConfig)),
})
export type NetworkingConfig = typeof NetworkingConfig.Type

/** The body of `POST /containers/create`. */
export const CreateBody = Schema.Struct({
  ...config,
  HostConfig: opt(HostConfig),
  NetworkingConfig: opt(NetworkingConfig),
})
export type CreateBody = typeof CreateBody.Type

/** The body of `POST /containers/{id}/update`. */
export const UpdateBody = Schema.Struct({ ...resources, RestartPolicy: opt(RestartPolicy) })
export type UpdateBody = typeof UpdateBody.Type
