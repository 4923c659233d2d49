import * as Effect from "effect/Effect"
import { type Change, changesIn } from "../../kernel/changes.ts"
import type { ContainerView } from "./container.ts"

/** What a container has changed of its image's files. */
export const changesOf = ({ home, lower }: ContainerView): Effect.Effect<readonly Change[]> =>
  Effect.promise(() => changesIn(`${home}/upper`, lower()))
