import { copyFileSync, existsSync, mkdirSync, realpathSync } from "node:fs"
import { delimiter, join } from "node:path"
import { commonArguments, type Engine } from "./engine.ts"

/** What Debian's docker.io starts, and where to find it without a login's PATH. */
const PROGRAMS = ["dockerd", "containerd", "containerd-shim-runc-v2", "runc", "docker-init"]
const DIRECTORIES = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]

const find = (program: string): string | undefined =>
  DIRECTORIES.map((directory) => join(directory, program)).find((path) => existsSync(path))

const engineOf = (directories: readonly string[]): Engine => ({
  name: "dockerd",
  env: { PATH: directories.join(delimiter) },
  argv: (place) => [
    "dockerd",
    ...commonArguments(place),
    "--storage-driver", "overlay2",
    ...(place.bridge ? [] : ["--bridge", "none", "--iptables=false"]),
  ],
  missing: async () =>
    PROGRAMS.every((program) => find(program) !== undefined)
      ? null
      : "dockerd is missing: apt-get install docker.io",
})

/** Docker's own daemon, as Debian packages it: the peer that every figure is put beside. */
export const dockerd: Engine = engineOf(DIRECTORIES)

/** The same from copies of its programs below `directory`, so that no other process maps them. */
export const dockerdAt = (directory: string): Engine => {
  mkdirSync(directory, { recursive: true })
  for (const program of PROGRAMS) {
    const path = find(program)
    if (path !== undefined) copyFileSync(realpathSync(path), join(directory, program))
  }
  return engineOf([directory, ...DIRECTORIES])
}
