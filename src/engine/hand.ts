import type * as Effect from "effect/Effect"
import type { Address } from "../../machines/words.ts"

/** An event as the loop carries it: a type, and whatever its machine declares. */
export interface MachineEvent {
  readonly type: string
  readonly [key: string]: unknown
}

/** One command to carry out. */
export interface Order<Params = any> {
  /** Never reused: an idempotency key, and the epoch of its answers. */
  readonly id: number
  readonly address: Address
  readonly params: Params
  /** Has it perhaps been carried out, wholly or in part, before a crash? */
  readonly attempt: "first" | "after-crash" | "after-reboot"
  /** An answer that is not the last one; only a long hand gives those. */
  readonly answer: (event: MachineEvent) => void
}

/**
 * What carries out a command.
 * - `short`: idempotent, never cancelled.
 * - `long`: idempotent, may be interrupted: returns from that only when nothing of it goes on.
 * - `once`: never carried out twice; after a crash the machine hears `lost` instead.
 *
 * The event it ends with closes the command, and so does an end without one.
 */
export interface Hand {
  readonly kind: "short" | "long" | "once"
  readonly lost?: MachineEvent
  readonly run: (order: Order) => Effect.Effect<MachineEvent | void>
}

/** Hands by command name: `run.start`, `layer.fetch`, … */
export type Hands = Readonly<Record<string, Hand>>
