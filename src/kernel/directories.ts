import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { mkdirSync, readdirSync } from "node:fs"
import { removeTree } from "./tree.ts"

/** Directories of the engine's own: the sweep looks at them and removes what no row names. */
export class Directories extends Context.Service<Directories, {
  /** Names in a directory; it is made if it is missing. */
  readonly names: (path: string) => Effect.Effect<readonly string[]>
  /** Removes whatever a path is, with all below it. Idempotent; a disk that refuses is a defect. */
  readonly discard: (path: string) => Effect.Effect<void>
}>()("kernel/Directories") {
  static readonly bodyLinux = Layer.succeed(
    Directories,
    Directories.of({
      names: (path) =>
        Effect.sync(() => {
          mkdirSync(path, { recursive: true, mode: 0o700 })
          return readdirSync(path)
        }),
      discard: (path) => Effect.sync(() => removeTree(path)),
    }),
  )
}
