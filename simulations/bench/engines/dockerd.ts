import { copyFileSync, existsSync, mkdirSync, realpathSync } from "node:fs"
import { delimiter, join } from "node:path"
import { commonArguments, type Engine } from "./engine.ts"

/** What Debian's docker.io starts, and where to find it without a login's PATH. */
const PROGRAMS = ["dockerd", "containerd", "containerd-shim-runc-v2", "runc", "docker-init"]
const DIRECTORIES = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]

const find = (program: string): string | undefined =>
  DIRECTORIES.map((directory) => join(directory, program)).find((path) => existsSync(path))

/**
 * Docker's own daemon, as Debian packages it: the peer that every figure is put beside. Its programs
 * are copied below `directory`, so that no other process maps them.
 */
export const dockerdAt = (directory: string): Engine => {
  mkdirSync(directory, { recursive: true })
  for (const program of PROGRAMS) {
    const path = find(program)
    if (path !== undefined) copyFileSync(realpathSync(path), join(directory, program))
  }
  return {
    name: "dockerd",
    env: { PATH: [directory, ...DIRECTORIES].join(delimiter) },
    argv: (place) => [
      join(directory, "dockerd"),
      ...commonArguments(place),
      "--storage-driver", "overlay2",
      ...(place.bridge ? [] : ["--bridge", "none", "--iptables=false"]),
    ],
    missing: async () =>
      PROGRAMS.every((program) => existsSync(join(directory, program)))
        ? null
        : "dockerd is missing: apt-get install docker.io",
  }
}
