import type { ImageDefaults } from "../../oci/image-config.ts"

export type { Defaults } from "../../engine/defaults.ts"

/** What the image says, and what the request called it. */
export interface ImageAsked {
  /** `sha256:…` */
  readonly id: string
  readonly name: string
  readonly defaults: ImageDefaults
}
