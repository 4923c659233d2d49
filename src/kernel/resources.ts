import { readFileSync } from "node:fs"
import { cpus, totalmem } from "node:os"
import { kernelRelease, textOf } from "./machine.ts"

/** What a client may ask about the machine it talks to. */
export const machineReport = () => ({
  cpus: cpus().length,
  memoryBytes: totalmem(),
  kernel: kernelRelease(),
  system: systemName(),
  threads: threadsOf(),
})

/** os-release(5). */
const systemName = (): string =>
  /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(textOf("/etc/os-release") ?? "")?.[1] ?? "Linux"

/** Threads of this process: proc(5). */
const threadsOf = (): number =>
  Number(/^Threads:\s*(\d+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0)

/** Does the kernel forward IPv4? */
export const isForwarding = (): boolean =>
  textOf("/proc/sys/net/ipv4/ip_forward")?.trim() === "1"
