import * as Effect from "effect/Effect"
import type { Registry } from "../registry/registry.ts"
import type { Backoff } from "../registry/retry.ts"
import type { Budget } from "./budget.ts"
import { type Fetched, PullFault } from "./carrier.ts"
import type { FetchMessage } from "./messages.ts"

export interface FetchTools {
  readonly registry: Registry["Service"]
  readonly budget: Budget
  readonly backoff: Backoff
  readonly retrying: (cause: string, afterMs: number) => void
  readonly progress: (current: number, total: number) => void
}
export const fetchLayer = (_job: FetchMessage, _tools: FetchTools): Effect.Effect<Fetched, PullFault> =>
  Effect.fail(new PullFault({ reason: "local", cause: "not yet" }))
