import { chmodSync, copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"

/** Debian's `busybox-static`: a root file system in one file. */
export const BUSYBOX = "/usr/bin/busybox"
export const hasBusybox = existsSync(BUSYBOX)

const APPLETS = [
  "sh", "true", "false", "echo", "cat", "sleep", "stty", "sha256sum", "grep", "head", "dd", "kill",
  "mkfifo", "hostname", "id", "ls", "yes", "env",
]

/** Makes a small root file system, as an image's only layer would hold it. */
export const makeRootfs = (path: string): void => {
  for (const folder of ["bin", "dev", "etc", "proc", "sys", "tmp"]) {
    mkdirSync(join(path, folder), { recursive: true })
  }
  copyFileSync(BUSYBOX, join(path, "bin/busybox"))
  for (const applet of APPLETS) symlinkSync("busybox", join(path, "bin", applet))
  writeFileSync(join(path, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")
  writeFileSync(join(path, "etc/notes"), "not a program\n")
  writeFileSync(join(path, "bin/garbage"), "\x00\x01\x02")
  chmodSync(join(path, "bin/garbage"), 0o755)
}

export interface SpecOptions {
  readonly args: readonly string[]
  readonly cgroup: string
  readonly terminal: boolean
  /** Bytes, swap included. */
  readonly memory?: number
  readonly mounts?: readonly object[]
}

/** The least runtime spec that behaves like Docker's: own namespaces, own group, no network. */
export const specOf = (rootfs: string, options: SpecOptions): object => ({
  ociVersion: "1.0.2",
  process: {
    terminal: options.terminal,
    user: { uid: 0, gid: 0 },
    args: options.args,
    env: ["PATH=/bin", "TERM=xterm"],
    cwd: "/",
    capabilities: { bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"] },
  },
  root: { path: rootfs, readonly: false },
  hostname: "contract",
  mounts: [
    { destination: "/proc", type: "proc", source: "proc" },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    ...options.mounts ?? [],
  ],
  linux: {
    cgroupsPath: options.cgroup,
    namespaces: ["pid", "network", "ipc", "uts", "mount"].map((type) => ({ type })),
    ...(options.memory === undefined
      ? {}
      : { resources: { memory: { limit: options.memory, swap: options.memory } } }),
  },
})
