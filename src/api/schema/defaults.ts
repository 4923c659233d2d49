import type { ImageDefaults } from "../../oci/image-config.ts"

/** What of this machine and of the engine's settings decides how a request is completed. */
export interface Defaults {
  readonly logDriver: string
  readonly logOptions: Readonly<Record<string, string>>
  /** Names a client may ask for; the first is what it gets without asking. */
  readonly runtimes: readonly string[]
  readonly shmBytes: number
  readonly cgroupVersion: 1 | 2
  readonly init: boolean
  /** How many processors, and which: `0-3`. */
  readonly cpus: number
  readonly cpuset: string
  readonly memoryNodes: string
  /** The host's own name: what a container on the host's network is called. */
  readonly hostname: string
}

/** What the image says, and what the request called it. */
export interface ImageAsked {
  /** `sha256:…` */
  readonly id: string
  readonly name: string
  readonly defaults: ImageDefaults
}
