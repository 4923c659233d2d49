import { type AnyMachineSnapshot, type AnyStateMachine, transition } from "xstate"
import { asked } from "../../machines/words.ts"
import { definitionOf, freeze, newborn, thaw, wordOf } from "../../src/engine/living.ts"
import type { Noun } from "../../machines/words.ts"

/** Any event: its machine knows what else belongs to it. */
export type AnyEvent = { readonly type: string } & Readonly<Record<string, unknown>>

export interface Walked {
  readonly state: string
  readonly snapshot: AnyMachineSnapshot
  /** `stop -> running.stopping: run.signal{"signal":"stop"}, +grace=10000ms` for each event. */
  readonly lines: readonly string[]
}

/** Walks a machine as the loop does: refuse, transition, revive from JSON between two events. */
export const walk = (noun: Noun, events: readonly AnyEvent[]): Walked => {
  const definition = definitionOf(noun)
  let snapshot = newborn(definition)
  const lines = events.map((event) => {
    const { version } = definition
    const before = wordOf(snapshot.value)
    const revived = thaw(definition, { snapshot: freeze(definition, snapshot), version })
    if (revived === undefined) throw new Error(`${noun} cannot be revived from ${before}`)
    if (!revived.can(event)) return `${event.type} -> refused`
    const [after, actions] = transition(definition.machine as AnyStateMachine, revived, event)
    snapshot = after as AnyMachineSnapshot
    const { commands, timers } = asked(actions)
    const told = [
      ...commands.map(({ type, params }) =>
        params === undefined ? type : type + JSON.stringify(params)),
      ...timers.map((timer) =>
        "set" in timer ? `+${name(timer.set)}=${timer.delayMs}ms` : `-${name(timer.cancel)}`),
    ]
    const step = `${event.type} -> ${wordOf(after.value)}`
    return told.length === 0 ? step : `${step}: ${told.join(", ")}`
  })
  return { state: wordOf(snapshot.value), snapshot, lines }
}

/** `xstate.after.grace.container.running.stopping` → `grace`. */
const name = (timer: string): string => timer.split(".")[2]!
