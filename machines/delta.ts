import { assign, setup } from "xstate"
import type { Cargo } from "./image.ts"
import type { Failure } from "./layer.ts"
import { type Address, command } from "./words.ts"

/** What a delta is made of; the format says in whose words it tells the difference. */
export interface DeltaTerms {
  /** Layers of the base and of the target, lowest first. */
  readonly base: readonly Address[]
  readonly target: readonly Address[]
  readonly format: string
}

interface Memory {
  readonly failure: Failure | null
}

export type DeltaEvent =
  // a client asks
  | { type: "make"; terms: DeltaTerms }
  | { type: "cancel" } // it has gone
  // the engine has come up, and could not read what this machine was
  | { type: "reborn" }
  // a hand answers
  | { type: "encoded"; row: Cargo } // what has been made
  | ({ type: "encodeFailed" } & Failure)

const { createMachine } = setup({
  types: { context: {} as Memory, events: {} as DeltaEvent, tags: {} as "settled" },
  actions: {
    "store.deltaStaged": command<{ layers: readonly Address[] }>(), // leased before one is read
    "store.deltaUnstaged": command(),
    "loop.cancel": command<{ command: "delta.encode" }>(),
    "delta.encode": command<DeltaTerms>(), // -> encoded | encodeFailed
    "layer.sweep": command(), // an image may have been removed meanwhile, and its layers not
    blame: assign({
      failure: ({ event, context }) =>
        event.type === "encodeFailed"
          ? { reason: event.reason, cause: event.cause }
          : context.failure,
    }),
  },
})

/**
 * The making of a delta from two images that are here. What comes of it is loaded as an image, and
 * that is another machine's: this one keeps the layers that are read. A client waits for it, and
 * goes with the engine; so a crash ends it, and nothing is left.
 */
export const delta = createMachine({
  id: "delta",
  version: "1",
  context: { failure: null },
  initial: "absent",
  states: {
    absent: {
      on: {
        make: {
          target: "encoding",
          actions: [
            {
              type: "store.deltaStaged",
              params: ({ event: { terms } }) => ({ layers: [...terms.base, ...terms.target] }),
            },
            { type: "delta.encode", params: ({ event }) => event.terms },
          ],
        },
        reborn: "cancelled",
      },
    },
    encoding: {
      on: {
        encoded: "encoded",
        encodeFailed: { target: "failed", actions: "blame" },
        cancel: {
          target: "cancelled",
          actions: { type: "loop.cancel", params: { command: "delta.encode" } },
        },
      },
    },
    encoded: { type: "final", entry: ["store.deltaUnstaged", "layer.sweep"] },
    failed: { type: "final", entry: ["store.deltaUnstaged", "layer.sweep"] },
    cancelled: { type: "final", entry: ["store.deltaUnstaged", "layer.sweep"] },
  },
})
