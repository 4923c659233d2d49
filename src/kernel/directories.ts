import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { mkdirSync, readdirSync } from "node:fs"
import { type FreeSpace, freeSpace } from "./flush.ts"
import { removeTree } from "./tree.ts"

/** Directories of the engine's own: the sweep looks what is there, and removes the nameless. */
export class Directories extends Context.Service<Directories, {
  /** Names in a directory; it is made if it is missing. */
  readonly names: (path: string) => Effect.Effect<readonly string[]>
  /** What is free where a path lies. */
  readonly free: (path: string) => Effect.Effect<FreeSpace>
  /** Removes whatever a path is, and all below it. Idempotent; a refusal is a defect. */
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
      free: (path) => Effect.sync(() => freeSpace(path)),
      discard: (path) => Effect.sync(() => removeTree(path)),
    }),
  )
}
