import { assign, setup } from "xstate"
import type { Cargo } from "./image.ts"
import type { Failure } from "./layer.ts"
import { type Address, command } from "./words.ts"

/** A layer's blob, as the repository has it: what the manifest will name. */
export interface Laid {
  readonly digest: string
  /** Compressed bytes. */
  readonly size: number
  readonly mediaType: string
}

interface Memory {
  /** Canonical, with a tag. */
  readonly reference: string
  readonly imageId: string
  /** Of the manifest; empty until it is there. */
  readonly digest: string
  readonly size: number
  readonly failure: Failure | null
}

export type PushEvent =
  // a client asks
  | { type: "push"; reference: string; imageId: string }
  // it has gone
  | { type: "abandon" }
  // the engine has come up, and could not read what this machine was
  | { type: "reborn" }
  // hands answer
  | ({ type: "laid"; layer: Address; how: string; from: string | null; place: Cargo } & Laid)
  | { type: "uploaded"; layers: readonly Laid[] }
  | { type: "published"; digest: string; size: number; row: Cargo }
  | ({ type: "pushFailed" } & Failure)

const { createMachine } = setup({
  types: { context: {} as Memory, events: {} as PushEvent, tags: {} as "settled" },
  actions: {
    // The image's config and manifest are kept, and its layers leased: it may be removed meanwhile.
    "store.pushStaged": command<{ imageId: string }>(), // refused where there is no such image
    "store.imageUnstaged": command(), // what was kept for it goes, and its leases
    "store.blobKnown": command<{ layer: Address; place: Cargo; blob: Laid }>(),
    "store.imagePresent": command<{ row: Cargo }>(), // it gets its digest in that repository
    "loop.cancel": command<{ command: "push.upload" | "push.publish" }>(),
    "push.upload": command<{ reference: string }>(), // -> laid… uploaded | pushFailed
    "push.publish": command<{ reference: string; layers: readonly Laid[] }>(), // -> published | …
    "layer.sweep": command(), // no answer: asks each layer that nothing names to go
    aim: assign(({ event, context }) =>
      event.type === "push"
        ? { reference: event.reference, imageId: event.imageId }
        : context),
    learn: assign(({ event, context }) =>
      event.type === "published" ? { digest: event.digest, size: event.size } : context),
    blame: assign({
      failure: ({ event, context }) =>
        event.type === "pushFailed"
          ? { reason: event.reason, cause: event.cause }
          : context.failure,
    }),
  },
})

const cancel = (command: "push.upload" | "push.publish") => ({
  target: "failed",
  actions: { type: "loop.cancel" as const, params: { command } },
})

/**
 * One push of one tag, addressed by a number and what it pushes. It ends with its client: nobody
 * would hear of it, and what has come to the registry is found there by the next.
 */
export const push = createMachine({
  id: "push",
  version: "1",
  context: { reference: "", imageId: "", digest: "", size: 0, failure: null },
  initial: "absent",
  states: {
    absent: {
      on: {
        push: {
          target: "uploading",
          actions: [
            "aim",
            {
              type: "store.pushStaged",
              params: ({ event }) => ({ imageId: event.imageId }),
            },
          ],
        },
        reborn: "failed",
      },
    },
    uploading: {
      entry: {
        type: "push.upload",
        params: ({ context }) => ({ reference: context.reference }),
      },
      on: {
        laid: {
          actions: {
            type: "store.blobKnown",
            params: ({ event: { layer, place, digest, size, mediaType } }) => ({
              layer,
              place,
              blob: { digest, size, mediaType },
            }),
          },
        },
        uploaded: {
          target: "publishing",
          actions: {
            type: "push.publish",
            params: ({ context, event }) => ({
              reference: context.reference,
              layers: event.layers,
            }),
          },
        },
        pushFailed: { target: "failed", actions: "blame" },
        abandon: cancel("push.upload"),
      },
    },
    publishing: {
      on: {
        published: {
          target: "pushed",
          actions: [
            "learn",
            { type: "store.imagePresent", params: ({ event }) => ({ row: event.row }) },
          ],
        },
        pushFailed: { target: "failed", actions: "blame" },
        abandon: cancel("push.publish"),
      },
    },
    pushed: { type: "final", entry: ["store.imageUnstaged", "layer.sweep"] },
    failed: { type: "final", entry: ["store.imageUnstaged", "layer.sweep"] },
  },
})
