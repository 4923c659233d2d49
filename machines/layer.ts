import { assign, setup } from "xstate"
import { type Address, command, type Message } from "./words.ts"

/** Where the bytes come from: opaque here, it only passes through from the image to the hand. */
export interface LayerSource {
  readonly kind: "registry" | "archive"
  readonly [key: string]: unknown
}

/** Why a fetch ended without a layer: the machines decide on `reason`, people read `cause`. */
export interface Failure {
  readonly reason: string
  readonly cause: string
}

/** After these, what has arrived is still good: the next one who wants it goes on from there. */
const KEEPABLE = ["unauthorized", "credentials", "notFound", "unreachable", "lost", "noSpace"]

interface Memory {
  /** Images in the making that wait for this layer, in the order they came. */
  readonly waiters: readonly Address[]
  readonly source: LayerSource | null
}

export type LayerEvent =
  // an image tells
  | { type: "want"; source: LayerSource; from: Address } // it needs the layer: also what creates it
  | { type: "unwant"; from: Address } // it no longer does
  // the sweep asks
  | { type: "drop" } // nothing names it any more
  // the engine has come up, and could not read what this machine was: what rows and leases say
  | { type: "reborn"; whole: boolean; waiters: readonly Address[] }
  // a hand answers
  | { type: "fetched"; bytes: number; tarBytes: number; entries: number; source: LayerSource }
  | ({ type: "fetchFailed" } & Failure)
  | { type: "dropped" }
  | { type: "dropFailed"; cause: string }

const tellEach = (
  waiters: readonly Address[],
  event: Message["event"],
): { messages: Message[] } => ({
  messages: waiters.map((to) => ({ to, event })),
})

const { createMachine } = setup({
  types: { context: {} as Memory, events: {} as LayerEvent, tags: {} as "settled" },
  actions: {
    // store.*: rows changed inside this very transaction
    "store.layerStaged": command(), // a row with a directory of its own, not ready
    // Its checkpoint is gone; where it came from is known.
    "store.layerReady": command<{ bytes: number; tarBytes: number; source: LayerSource }>(),
    "store.layerDropping": command(), // refused while anything names the layer
    "store.layerUnready": command(), // its checkpoint is forgotten before its files are
    "store.layerForget": command(),
    // for the loop itself
    "tell.each": command<{ messages: Message[] }>(),
    "loop.cancel": command<{ command: "layer.fetch" }>(),
    // for the hands, after the commit. A fetch goes on from its checkpoint, if it has one.
    "layer.fetch": command<{ source: LayerSource }>(), // -> fetched | fetchFailed
    "layer.drop": command(), // -> dropped | dropFailed
    // memory
    join: assign({
      waiters: ({ context, event }) =>
        event.type !== "want" || context.waiters.includes(event.from)
          ? context.waiters
          : [...context.waiters, event.from],
      source: ({ context, event }) => (event.type === "want" ? event.source : context.source),
    }),
    leave: assign({
      waiters: ({ context, event }) =>
        event.type === "unwant"
          ? context.waiters.filter((one) => one !== event.from)
          : context.waiters,
    }),
    disband: assign({ waiters: [] }),
  },
  guards: {
    last: ({ context, event }) =>
      event.type === "unwant" && context.waiters.every((one) => one === event.from),
    awaited: ({ context }) => context.waiters.length > 0,
    whole: ({ event }) => event.type === "reborn" && event.whole,
    keepable: ({ event }) => event.type === "fetchFailed" && KEEPABLE.includes(event.reason),
  },
  delays: { again: 60_000 },
})

/** The images whose leases say that they wait: where it came from is forgotten, so some in vain. */
const tellWaiters = {
  type: "tell.each" as const,
  params: ({ event: { waiters, whole } }: { event: Extract<LayerEvent, { type: "reborn" }> }) =>
    tellEach(waiters, whole ? { type: "layerReady" } : LOST),
}
const LOST = { type: "layerFailed", reason: "lost", cause: "the engine forgot where it came from" }

const failed = [
  {
    type: "tell.each" as const,
    params: ({ context, event }: { context: Memory; event: { type: "fetchFailed" } & Failure }) =>
      tellEach(context.waiters, { type: "layerFailed", reason: event.reason, cause: event.cause }),
  },
  "disband" as const,
]

/**
 * One layer's life on this disk. Images tell it `want`; it tells each of them `layerReady` or
 * `layerFailed`. Two pulls of one layer share one fetch, and nobody owns anybody: whether a ready
 * layer is still needed is for the store to say (`store.layerDropping` refuses), not for this
 * memory.
 */
export const layer = createMachine({
  id: "layer",
  version: "1",
  context: { waiters: [], source: null },
  initial: "absent",
  states: {
    absent: {
      on: {
        want: { target: "fetching", actions: ["join", "store.layerStaged"] },
        reborn: [
          { guard: "whole", target: "ready", actions: tellWaiters },
          { target: "parked", actions: tellWaiters },
        ],
      },
    },
    fetching: {
      entry: {
        type: "layer.fetch",
        params: ({ context }) => ({ source: context.source! }),
      },
      on: {
        want: { actions: "join" },
        unwant: [
          {
            guard: "last",
            target: "parked",
            actions: ["leave", { type: "loop.cancel", params: { command: "layer.fetch" } }],
          },
          { actions: "leave" },
        ],
        fetched: {
          target: "ready",
          actions: [
            {
              type: "store.layerReady",
              params: ({ event: { bytes, tarBytes, source } }) => ({ bytes, tarBytes, source }),
            },
            {
              type: "tell.each",
              params: ({ context }) => tellEach(context.waiters, { type: "layerReady" }),
            },
            "disband",
          ],
        },
        fetchFailed: [
          { guard: "keepable", target: "parked", actions: failed },
          { target: "dropping", actions: ["store.layerUnready", ...failed] },
        ],
      },
    },
    parked: { // what has come stays, with its checkpoint, until it is wanted again or swept
      tags: "settled",
      on: {
        want: { target: "fetching", actions: "join" },
        drop: { target: "dropping", actions: ["store.layerDropping", "store.layerUnready"] },
      },
    },
    ready: {
      tags: "settled",
      on: {
        want: {
          actions: {
            type: "tell.each",
            params: ({ event }) => tellEach([event.from], { type: "layerReady" }),
          },
        },
        drop: { target: "dropping", actions: ["store.layerDropping", "store.layerUnready"] },
      },
    },
    dropping: {
      entry: "layer.drop",
      on: {
        want: { actions: "join" },
        unwant: { actions: "leave" },
        dropped: [{ guard: "awaited", target: "fetching" }, { target: "dropped" }],
        dropFailed: "stuck",
      },
    },
    stuck: { // the disk would not let go: it is tried again, and waiters wait
      tags: "settled",
      on: { want: { actions: "join" }, unwant: { actions: "leave" }, drop: "dropping" },
      after: { again: "dropping" },
    },
    dropped: { type: "final", entry: "store.layerForget" },
  },
})
