import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Device } from "./terms.ts"

/** A device node of the host: what `stat` says of it. */
export interface HostDevice {
  readonly path: string
  readonly type: "b" | "c"
  readonly major: number
  readonly minor: number
  /** Permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/** A node to be made in the container (runtime-spec, config-linux.md "Devices"). */
export interface DeviceNode {
  readonly path: string
  readonly type: string
  readonly major: number
  readonly minor: number
  readonly fileMode: number
  readonly uid: number
  readonly gid: number
}

/** A rule of the device cgroup. A number left out means any. */
export interface DeviceRule {
  readonly allow: boolean
  readonly type?: string
  readonly major?: number
  readonly minor?: number
  readonly access: string
}

/** A device that is not there, or a rule that is none. Worded as Docker words it. */
export class DeviceFault extends Schema.TaggedError<DeviceFault>()("DeviceFault", {
  cause: Schema.String,
}) {}

export interface Devices {
  readonly nodes: readonly DeviceNode[]
  readonly rules: readonly DeviceRule[]
}

const character = (allow: boolean, major: number, minor: number): DeviceRule => ({
  allow,
  type: "c",
  major,
  minor,
  access: "rwm",
})

/** Docker's own; the runtime adds those of a terminal. */
const DEFAULT_RULES: readonly DeviceRule[] = [
  { allow: false, access: "rwm" },
  character(true, 1, 5), // zero
  character(true, 1, 3), // null
  character(true, 1, 9), // urandom
  character(true, 1, 8), // random
  character(true, 5, 0), // tty
  character(true, 5, 1), // console
  character(false, 10, 229), // fuse
]

const node = (device: HostDevice, path: string): DeviceNode => ({
  path,
  type: device.type,
  major: device.major,
  minor: device.minor,
  fileMode: device.mode,
  uid: device.uid,
  gid: device.gid,
})

/**
 * Answers the device at a path of the host, or all those in a directory; empty: it is none. null:
 * there is nothing at all.
 */
export type FindDevices = (hostPath: string) => readonly HostDevice[] | null

/** The device nodes and the cgroup rules of a container. */
export function devicesOf(
  terms: {
    readonly privileged: boolean
    readonly devices: readonly Device[]
    readonly deviceCgroupRules: readonly string[]
  },
  find: FindDevices,
): Result.Result<Devices, DeviceFault> {
  if (terms.privileged) {
    return Result.succeed({
      nodes: (find("/dev") ?? []).map((device) => node(device, device.path)),
      rules: [{ allow: true, access: "rwm" }],
    })
  }
  return Result.gen(function*() {
    const asked = yield* Result.all(terms.devices.map((device) => resolve(device, find)))
    const rules = yield* Result.all(terms.deviceCgroupRules.map(parseDeviceRule))
    return {
      nodes: asked.flatMap(({ nodes }) => nodes),
      rules: [...DEFAULT_RULES, ...asked.flatMap(({ rules }) => rules), ...rules],
    }
  })
}

function resolve(device: Device, find: FindDevices): Result.Result<Devices, DeviceFault> {
  const { hostPath, permissions } = device
  const found = find(hostPath)
  if (found === null || found.length === 0) {
    const why = found === null ? "no such file or directory" : "not a device node"
    const what = `error gathering device information while adding custom device "${hostPath}"`
    return Result.fail(new DeviceFault({ cause: `${what}: ${why}` }))
  }
  return Result.succeed({
    // A directory's devices keep their names below the container's path.
    nodes: found.map((each) => node(each, device.path + each.path.slice(hostPath.length))),
    rules: found.map(({ type, major, minor }) => ({
      allow: true,
      type,
      major,
      minor,
      access: permissions,
    })),
  })
}

const RULE = /^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$/

/** Reads `c 42:* rmw`. */
export function parseDeviceRule(text: string): Result.Result<DeviceRule, DeviceFault> {
  const match = RULE.exec(text)
  if (match === null) {
    return Result.fail(new DeviceFault({ cause: `invalid device cgroup rule format: '${text}'` }))
  }
  const [, type = "", major = "", minor = "", access = ""] = match
  const rule = { allow: true, type, major: numberOf(major), minor: numberOf(minor), access }
  return Result.succeed(rule)
}

/** -1 is the runtimes' word for any. */
const numberOf = (text: string): number => (text === "*" ? -1 : Number(text))
