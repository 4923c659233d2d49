import * as Effect from "effect/Effect"
import { type Usage, usageOf } from "../../kernel/stats.ts"
import type { ContainerView } from "./container.ts"

export type { Usage } from "../../kernel/stats.ts"

/** What a container uses now; null: it does not run. */
export const statsOf = ({ state }: ContainerView): Effect.Effect<Usage | null> =>
  Effect.sync(() => (state.pid === 0 ? null : usageOf(state.pid)))
