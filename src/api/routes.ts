import { debugRoutes } from "./debug.ts"
import { eventRoutes } from "./events.ts"
import { imageRoutes } from "./images.ts"
import type { Route } from "./route.ts"
import { type Shown, systemRoutes } from "./system.ts"

const all = (settings: Shown) =>
  [...systemRoutes(settings), ...imageRoutes, ...eventRoutes, ...debugRoutes] as const

type Needs<R> = R extends Route<infer Services> ? Services : never

/** The whole API. */
export const apiRoutes = (
  settings: Shown,
): readonly Route<Needs<ReturnType<typeof all>[number]>>[] => all(settings)
