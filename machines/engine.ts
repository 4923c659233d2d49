import { assign, setup } from "xstate"
import { command } from "./words.ts"

export type EngineEvent =
  | { type: "boot"; reboot: boolean } // the process has come up; `reboot`: the machine has, too
  | { type: "drain" } // SIGTERM: take no more, let what is in flight be written down
  | { type: "spaceShort" } // a layer met a full disk
  | { type: "recovered" } // hands answer
  | { type: "reclaimed" }
  | { type: "drained" }

const { createMachine } = setup({
  types: { events: {} as EngineEvent, tags: {} as "settled" },
  actions: {
    // What nothing names is swept, and containers hear `boot`.
    "engine.recover": command(), // -> recovered
    "engine.reclaim": command(), // -> reclaimed; parked pulls give their room back
    "engine.drain": command(), // -> drained; running containers are left alone
    heard: assign({}), // taken, and nothing changes: xstate refuses a transition without an action
  },
})

/** The engine itself, from one start of its process to the next. */
export const engine = createMachine({
  id: "engine",
  version: "1",
  initial: "absent",
  on: { boot: ".starting" },
  states: {
    absent: {},
    starting: { entry: "engine.recover", on: { recovered: "up", drain: "draining" } },
    up: { tags: "settled", on: { spaceShort: "short", drain: "draining" } },
    short: {
      entry: "engine.reclaim",
      on: { reclaimed: "up", drain: "draining", spaceShort: { actions: "heard" } },
    },
    draining: {
      entry: "engine.drain",
      on: { drained: "down", recovered: { actions: "heard" }, reclaimed: { actions: "heard" } },
    },
    down: { tags: "settled" },
  },
})
