import { assign, setup } from "xstate"
import type { Failure, LayerSource } from "./layer.ts"
import { type Address, command, type Message } from "./words.ts"

/** One layer an image in the making needs. */
export interface Needed {
  readonly address: Address
  readonly source: LayerSource
}

/**
 * Cargo: what `store.*` writes down in the same transaction and nobody decides on (a config, a
 * manifest). It passes through a machine untouched and is left out of the journal.
 */
export type Cargo = Readonly<Record<string, unknown>>

interface Memory {
  readonly reference: string
  readonly platform: string | null
  readonly imageId: string
  readonly digest: string
  /** Layers not ready yet. */
  readonly pending: readonly Address[]
  readonly failure: Failure | null
}

export type ImageEvent =
  // a client asks
  | { type: "pull"; reference: string; platform: string | null } // also to join one
  | { type: "load"; imageId: string; layers: readonly Needed[]; row: Cargo }
  | { type: "abandon" } // its last client has been gone for the grace
  | { type: "remove"; row: Cargo }
  | { type: "tag"; row: Cargo }
  | { type: "forget" } // parked, and its room is needed
  // the engine has come up, and could not read what this machine was
  | { type: "reborn" }
  // a hand answers
  | {
    type: "resolved"
    imageId: string
    digest: string
    layers: readonly Needed[]
    /** One that was found and is used in place of the layers: for people to read. */
    delta?: object | null
    row: Cargo
  }
  | { type: "present"; imageId: string; digest: string; row: Cargo }
  | ({ type: "resolveFailed" } & Failure)
  // layers tell
  | { type: "layerReady"; from: Address }
  | ({ type: "layerFailed"; from: Address } & Failure)

const wantEach = (layers: readonly Needed[]): { messages: Message[] } => ({
  messages: layers.map(({ address, source }) => ({ to: address, event: { type: "want", source } })),
})

/** Reasons after which a pull that is taken up again will not get what it began. */
const HOPELESS = ["notFound", "unsupported", "noSpace", "noBase"]

const { createMachine } = setup({
  types: { context: {} as Memory, events: {} as ImageEvent, tags: {} as "settled" },
  actions: {
    // Config, manifest and layer list are kept, and every layer is leased, before one is fetched.
    "store.imageStaged": command<{
      imageId: string
      digest: string
      layers: Address[]
      row: Cargo
    }>(),
    "store.imageReady": command<{ imageId: string }>(), // image, layers and tag become visible
    "store.imagePresent": command<{ row: Cargo }>(), // it was here all along: only the names move
    "store.imageUnstaged": command(), // leases and staged rows go
    "store.imageTagged": command<{ row: Cargo }>(),
    "store.imageRemoved": command<{ row: Cargo }>(), // refused while a container uses it
    "tell.each": command<{ messages: Message[] }>(),
    "loop.cancel": command<{ command: "image.resolve" }>(),
    // -> resolved | present | resolveFailed
    "image.resolve": command<{ reference: string; platform: string | null }>(),
    "layer.sweep": command(), // no answer: asks each layer that nothing names to go
    heard: assign({}), // taken, and nothing changes: xstate refuses a transition without an action
    aim: assign(({ event, context }) =>
      event.type === "pull"
        ? { reference: event.reference, platform: event.platform, failure: null }
        : context),
    learn: assign(({ event, context }) =>
      event.type === "resolved" || event.type === "load"
        ? {
          imageId: event.imageId,
          digest: event.type === "resolved" ? event.digest : "",
          pending: [...new Set(event.layers.map((one) => one.address))],
        }
        : context),
    recognise: assign(({ event, context }) =>
      event.type === "present" ? { imageId: event.imageId, digest: event.digest } : context),
    tick: assign({
      pending: ({ context, event }) =>
        event.type === "layerReady" || event.type === "layerFailed"
          ? context.pending.filter((one) => one !== event.from)
          : context.pending,
    }),
    blame: assign({
      failure: ({ event, context }) =>
        event.type === "resolveFailed" || event.type === "layerFailed"
          ? { reason: event.reason, cause: event.cause }
          : context.failure,
    }),
  },
  guards: {
    empty: ({ event }) =>
      (event.type === "resolved" || event.type === "load") && event.layers.length === 0,
    lastOne: ({ context, event }) =>
      event.type === "layerReady" && context.pending.every((one) => one === event.from),
    // Credentials are never on the disk: a pull resumed after a crash may have lost them.
    credentialsLost: ({ event }) =>
      (event.type === "resolveFailed" || event.type === "layerFailed") &&
      event.reason === "credentials",
    // What has come of it is worth more than one answer that its registry did not give.
    resumable: ({ context, event }) =>
      context.imageId !== "" && event.type === "resolveFailed" && !HOPELESS.includes(event.reason),
    noSpace: ({ event }) =>
      (event.type === "resolveFailed" || event.type === "layerFailed") &&
      event.reason === "noSpace",
  },
  delays: { patience: 24 * 60 * 60 * 1000 },
})

const stage = {
  type: "store.imageStaged" as const,
  params: ({ event }: { event: Extract<ImageEvent, { type: "resolved" | "load" }> }) => ({
    imageId: event.imageId,
    digest: event.type === "resolved" ? event.digest : "",
    layers: event.layers.map((one) => one.address),
    row: event.row,
  }),
}
const want = {
  type: "tell.each" as const,
  params: ({ event }: { event: Extract<ImageEvent, { type: "resolved" | "load" }> }) =>
    wantEach(event.layers),
}
const begin = [
  { guard: "empty" as const, target: "ready", actions: ["learn" as const, stage] },
  { target: "fetching", actions: ["learn" as const, stage, want] },
] as const
const unwant = {
  type: "tell.each" as const,
  params: ({ context }: { context: Memory }) => ({
    messages: context.pending.map((to) => ({ to, event: { type: "unwant" } })),
  }),
}
const tellShort = {
  type: "tell.each" as const,
  params: { messages: [{ to: "engine", event: { type: "spaceShort" } }] },
}

/**
 * One image's coming to be: addressed by the reference that a pull asked for, or by a load. It ends
 * when the image is visible, or when nothing of it is left. What is then done to a whole image (a
 * tag, a removal) is a machine of one step, so that it has its line in the journal as well.
 */
export const image = createMachine({
  id: "image",
  version: "1",
  context: { reference: "", platform: null, imageId: "", digest: "", pending: [], failure: null },
  initial: "absent",
  states: {
    absent: {
      on: {
        pull: { target: "resolving", actions: "aim" },
        reborn: "forgotten",
        load: [...begin],
        tag: {
          target: "settled",
          actions: { type: "store.imageTagged", params: ({ event }) => ({ row: event.row }) },
        },
        remove: {
          target: "settled",
          actions: [
            { type: "store.imageRemoved", params: ({ event }) => ({ row: event.row }) },
            "layer.sweep",
          ],
        },
      },
    },
    resolving: {
      entry: {
        type: "image.resolve",
        params: ({ context }) => ({ reference: context.reference, platform: context.platform }),
      },
      on: {
        pull: { actions: "heard" }, // joined
        abandon: {
          target: "parked",
          actions: { type: "loop.cancel", params: { command: "image.resolve" } },
        },
        resolved: [...begin],
        present: {
          target: "present",
          actions: [
            "recognise",
            { type: "store.imagePresent", params: ({ event }) => ({ row: event.row }) },
          ],
        },
        resolveFailed: [
          { guard: "credentialsLost", target: "parked", actions: "blame" },
          { guard: "noSpace", target: "failed", actions: ["blame", tellShort] },
          { guard: "resumable", target: "parked", actions: "blame" },
          { target: "failed", actions: "blame" },
        ],
      },
    },
    fetching: {
      on: {
        pull: { actions: "heard" }, // joined
        abandon: { target: "parked", actions: unwant },
        layerReady: [{ guard: "lastOne", target: "ready", actions: "tick" }, { actions: "tick" }],
        layerFailed: [
          { guard: "credentialsLost", target: "parked", actions: ["blame", "tick", unwant] },
          { guard: "noSpace", target: "failed", actions: ["blame", "tick", unwant, tellShort] },
          { target: "failed", actions: ["blame", "tick", unwant] },
        ],
      },
    },
    parked: { // its leases hold what has come; whoever asks again goes on from there
      tags: "settled",
      on: { pull: { target: "resolving", actions: "aim" }, forget: "forgotten" },
      after: { patience: "forgotten" },
    },
    ready: {
      type: "final",
      entry: { type: "store.imageReady", params: ({ context }) => ({ imageId: context.imageId }) },
    },
    present: { type: "final", entry: "store.imageUnstaged" },
    failed: { type: "final", entry: ["store.imageUnstaged", "layer.sweep"] },
    forgotten: { type: "final", entry: ["store.imageUnstaged", "layer.sweep"] },
    settled: { type: "final" },
  },
})
