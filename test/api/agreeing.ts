import type { ImageDefaults } from "../../src/oci/image-config.ts"
import type { Defaults } from "../../src/api/schema/defaults.ts"

/** A machine with two processors, and an engine nobody has set anything of. */
export const DEFAULTS: Defaults = {
  logDriver: "json-file",
  logOptions: {},
  runtimes: ["runc", "io.containerd.runc.v2", "bare"],
  shmBytes: 64 * 1024 * 1024,
  ipcMode: "private",
  cgroupnsMode: null,
  cgroupVersion: 1,
  weighsBlockIo: true,
  init: false,
  noNewPrivileges: false,
  seccompProfile: "",
  ulimits: [],
  cpus: 2,
  cpuset: "0-1",
  memoryNodes: "0",
  hostname: "vm",
}

/** An image that says nothing. */
export const NOTHING: ImageDefaults = {
  env: [],
  cmd: null,
  entrypoint: null,
  workingDir: "",
  user: "",
  labels: {},
  exposedPorts: [],
  volumes: [],
  stopSignal: "",
  stopTimeoutS: null,
  healthcheck: null,
  shell: null,
  onBuild: [],
  argsEscaped: false,
}

export const BUSYBOX: ImageDefaults = {
  ...NOTHING,
  cmd: ["sh"],
  env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
}
