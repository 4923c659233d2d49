import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { StartFault } from "../kernel/runtime.ts"
import type { Settings } from "../settings.ts"
import { Networks } from "./networks.ts"

/** Until the bridge is built: containers without a network of their own. */
export const networksLinux = (_: Settings) =>
  Layer.succeed(Networks, {
    claim: (_id, terms) =>
      ["none", "host"].includes(terms.network.mode) || terms.network.mode.startsWith("container:")
        ? Effect.succeed(null)
        : Effect.fail(new StartFault({ exitCode: 125, cause: "the bridge network is not supported yet" })),
    publish: () => Effect.void,
    release: () => Effect.void,
  })
