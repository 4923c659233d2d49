import * as Context from "effect/Context"

/** Where things lie: every name follows from an id, so that a row is enough to find it. */
export class Paths extends Context.Service<Paths, {
  readonly dataRoot: string
  readonly execRoot: string
  /** A layer's directory; `id` is its row's. */
  readonly layer: (id: number) => string
  readonly layers: string
  readonly container: (id: string) => string
  readonly containers: string
  /** Files that no crash needs to keep: spooled archives. Emptied at boot. */
  readonly spool: string
}>()("engine/Paths") {}

export const pathsOf = (dataRoot: string, execRoot: string): Paths["Service"] => ({
  dataRoot,
  execRoot,
  layer: (id) => `${dataRoot}/overlay2/${id.toString(36)}`,
  layers: `${dataRoot}/overlay2`,
  container: (id) => `${dataRoot}/containers/${id}`,
  containers: `${dataRoot}/containers`,
  spool: `${dataRoot}/tmp`,
})
