import type { AnyStateMachine } from "xstate"
import type { Source } from "./source.ts"

/** What xstate offers and a journalled machine must not use (it would do, not ask). */
const FORBIDDEN = new Set([
  "spawnChild", "sendTo", "sendParent", "forwardTo", "emit", "enqueueActions", "createActor",
  "fromPromise", "fromCallback", "fromObservable", "fromEventObservable", "fromTransition", "log",
])

/** Names of xstate's that a machine's file imports although its machine may not use them. */
export const forbiddenImports = ({ path, nodes }: Source): string[] =>
  nodes
    .filter(({ type, imported }) => type === "ImportSpecifier" && FORBIDDEN.has(imported.name))
    .map(({ imported }) => `${path}: ${imported.name}: a machine asks, it never does`)

interface StateNode {
  readonly id: string
  readonly config: Readonly<Record<string, unknown>>
  readonly states: Readonly<Record<string, StateNode>>
}

const several = (value: unknown): readonly unknown[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value]
const typeOf = (value: unknown): unknown => Object(value).type ?? value

/** Where a function stands that is neither in `setup` nor a command's `params`. */
function inlineFunctions(at: string, config: Readonly<Record<string, unknown>>): string[] {
  const wrong: string[] = []
  const check = (what: string, value: unknown) => {
    for (const item of several(value)) {
      if (typeof typeOf(item) === "function") wrong.push(`${at}: ${what} is a function`)
    }
  }
  check("entry", config["entry"])
  check("exit", config["exit"])
  const events = Object.entries({ ...Object(config["on"]), ...Object(config["after"]) })
  for (const [name, transitions] of [...events, ["always", config["always"]] as const]) {
    for (const transition of several(transitions)) {
      check(`an action of ${name}`, Object(transition).actions)
      check(`a guard of ${name}`, Object(transition).guard)
    }
  }
  return wrong
}

/** What one state, and all below it, do that the journal could not keep (loop.md 11). */
function faultsOf({ id, config, states }: StateNode): string[] {
  const wrong = inlineFunctions(id, config)
  if (config["invoke"] !== undefined) wrong.push(`${id}: invokes, and the work would be forgotten`)
  if (Object.keys(Object(config["on"])).some((name) => name.includes("*"))) {
    wrong.push(`${id}: takes every event, so that none can be refused`)
  }
  for (const delay of Object.keys(Object(config["after"]))) {
    if (/^\d+$/.test(delay)) wrong.push(`${id}: waits ${delay} ms: give the delay a name`)
  }
  return [...wrong, ...Object.values(states).flatMap(faultsOf)]
}

export const machineFaults = (machine: AnyStateMachine): string[] =>
  faultsOf(machine.root as unknown as StateNode)
