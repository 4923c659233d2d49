import type { AnyStateMachine } from "xstate"
import { container } from "./container.ts"
import { delta } from "./delta.ts"
import { engine } from "./engine.ts"
import { image } from "./image.ts"
import { layer } from "./layer.ts"
import { push } from "./push.ts"
import type { Noun } from "./words.ts"

/** What the loop must know of a machine beside its chart. */
export interface Definition {
  readonly machine: AnyStateMachine
  /** Of chart and context: raised with a migration whenever an old snapshot would not fit. */
  readonly version: number
  /** `migrations[n]` makes a snapshot of version n+1 from one of version n; pure. */
  readonly migrations: Readonly<Record<number, (snapshot: any) => any>>
  /** What clients ask, and may be refused; every other event is an answer and never is. */
  readonly requests: ReadonlySet<string>
  /** Events that bring a machine into being where there is none. */
  readonly creating: ReadonlySet<string>
}

const define = (machine: AnyStateMachine, requests: string[], creating: string[]): Definition => ({
  machine,
  version: Number(machine.version),
  migrations: {},
  requests: new Set(requests),
  creating: new Set(creating),
})

/** Every machine of this engine, by noun. */
export const CATALOG: Readonly<Record<Noun, Definition>> = {
  engine: define(engine, ["drain"], ["boot"]),
  image: define(
    image,
    ["pull", "load", "tag", "remove", "abandon", "forget"],
    ["pull", "load", "tag", "remove"],
  ),
  layer: define(layer, ["drop"], ["want"]),
  delta: define(delta, ["make", "cancel"], ["make"]),
  push: define(push, ["push"], ["push"]),
  container: define(
    container,
    ["create", "start", "stop", "restart", "kill", "pause", "resume", "rename", "update", "remove"],
    ["create"],
  ),
}
