import { existsSync } from "node:fs"
import { join } from "node:path"
import type { Engine } from "./engine.ts"

const BALENAD = join(import.meta.dirname, "../../../dist/balenad")

/** This engine, as it is shipped: the built bundle on the pinned Node. */
export const balena: Engine = {
  name: "balena",
  argv: (place) => [
    BALENAD,
    "--data-root", place.dataRoot,
    "--exec-root", place.execRoot,
    "--host", `unix://${place.socket}`,
    "--pidfile", place.pidfile,
    ...(place.bridge ? [] : ["--bridge", "none"]),
  ],
  missing: async () => existsSync(BALENAD) ? null : "dist/balenad is missing: npm run build",
}
