/** Differences on purpose that many rows meet, and why; see `Looks.differs`. */

const prefixed = (prefix: string, places: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(places).map(([place, why]) => [`${prefix}.${place}`, why]))

/** An image as `inspect` shows it: any one, and one that was loaded and not tagged since. */
export const BUILT_INSPECT = prefixed("stdout[]", {
  "GraphDriver.Data": "layers lie where this engine keeps them; an image is mounted nowhere",
  Container: "left out since API 1.45",
  ContainerConfig: "left out since API 1.45",
})
export const IMAGE_INSPECT = {
  ...BUILT_INSPECT,
  "stdout[].Metadata.LastTagTime": "loading an image names it, too",
}

const DNS_NAMES = "new in API 1.44; older clients overlook it"
const HOST_CONFIG = {
  "HostConfig.MaskedPaths": "newer Dockers mask more",
  "HostConfig.KernelMemory": "gone since API 1.42",
  "HostConfig.KernelMemoryTCP": "gone since API 1.42",
  "GraphDriver.Data": "a container's files lie where this engine keeps them",
}

/** A container as `inspect` shows it: always, and where it has run on a network. */
export const CREATED_INSPECT = prefixed("stdout[]", {
  ...HOST_CONFIG,
  "NetworkSettings.Networks.bridge.DNSNames": DNS_NAMES,
})
export const STARTED_INSPECT = prefixed("stdout[]", {
  ...HOST_CONFIG,
  "State.Pid": "each has its own",
  LogPath: "the log is conmon's, whatever the driver is called",
  "NetworkSettings.SandboxKey": "the namespace is its process's: there is no file for it",
})
export const DNS_NAMES_OF = (network: string) => ({
  [`stdout[].NetworkSettings.Networks.${network}.DNSNames`]: DNS_NAMES,
})

export const NO_IPV6 = "ports are published over IPv4 only"

/** What depends on what this machine's root may do. */
export const CAPABILITIES = "runc gives up where root itself lacks a capability of the kernel's; "
  + "crun gives what there is"

export const BAD_JSON = "newer Dockers answer 400 to what they cannot read, and say that it is JSON"
export const RUNTIME_WORDS = "crun says it in other words than runc"
