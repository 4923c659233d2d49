import * as Effect from "effect/Effect"
import { makeMissing } from "../../kernel/presence.ts"
import { StartFault } from "../../kernel/runtime.ts"
import type { Terms } from "../../oci/terms.ts"

/** Makes the directories on the host that a `-v` names and that are not there, as Docker does. */
export const makeSources = ({ mounts }: Terms): Effect.Effect<void, StartFault> =>
  Effect.forEach(
    mounts.filter(({ kind, create }) => kind === "bind" && create),
    ({ source }) =>
      Effect.try({
        try: () => makeMissing(source),
        catch: (error) =>
          new StartFault({
            exitCode: 125,
            cause: `error while creating mount source path '${source}': ` +
              (error as Error).message,
          }),
      }),
    { discard: true },
  )
