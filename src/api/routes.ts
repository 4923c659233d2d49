import type { Defaults } from "../engine/defaults.ts"
import { containerStreamRoutes } from "./container-streams.ts"
import { containerViewRoutes } from "./container-views.ts"
import { containerRoutes } from "./containers.ts"
import { debugRoutes } from "./debug.ts"
import { deltaRoutes } from "./deltas.ts"
import { eventRoutes } from "./events.ts"
import { imageRoutes } from "./images.ts"
import { missingRoutes } from "./missing.ts"
import { networkRoutes } from "./networks.ts"
import { pushRoutes } from "./push.ts"
import { registryRoutes } from "./registry.ts"
import type { Route } from "./route.ts"
import { type Shown, systemRoutes } from "./system.ts"

/** The first route that fits wins: what names things comes before what takes any name. */
const all = (settings: () => Shown, defaults: Defaults) =>
  [
    ...systemRoutes(settings),
    ...debugRoutes,
    ...deltaRoutes,
    ...imageRoutes,
    ...pushRoutes,
    ...registryRoutes,
    ...eventRoutes,
    ...containerRoutes(defaults),
    ...containerViewRoutes,
    ...containerStreamRoutes,
    ...missingRoutes,
    ...networkRoutes,
  ] as const

type Needs<R> = R extends Route<infer Services> ? Services : never

/** The whole API. */
export const apiRoutes = (
  settings: () => Shown,
  defaults: Defaults,
): readonly Route<Needs<ReturnType<typeof all>[number]>>[] => all(settings, defaults)
