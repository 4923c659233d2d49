import * as Schema from "effect/Schema"

/**
 * A kept layer is not what was extracted: its index or one of its files rotted, or was changed or
 * removed behind the engine's back. The layer must be fetched again; nothing read from it counts.
 */
export class LayerDamaged extends Schema.TaggedError<LayerDamaged>()("LayerDamaged", {
  /** The file, as a path below the layer's directory (`index`, `diff/bin/sh`), or its full path. */
  file: Schema.String,
  cause: Schema.String,
}) {
  override get message(): string {
    return `layer damaged: ${this.file}: ${this.cause}`
  }
}
