import { cpSync, existsSync, globSync } from "node:fs"
import { basename, join } from "node:path"
import { commonArguments, type Engine } from "./engine.ts"

const ROOT = join(import.meta.dirname, "../../..")

const engineAt = (root: string): Engine => {
  const balenad = join(root, "dist/balenad")
  return {
    name: "balena",
    argv: (place) => [
      balenad,
      ...commonArguments(place),
      ...(place.bridge ? [] : ["--bridge", "none"]),
    ],
    missing: async () => existsSync(balenad) ? null : "dist/balenad is missing: npm run build",
  }
}

/** This engine, as it is shipped: the built bundle on the pinned Node. */
export const balena: Engine = engineAt(ROOT)

/**
 * The same from files of its own, put below `directory`: what is mapped from a file is counted by
 * halves where two processes share it, and whoever measures runs on the same Node.
 */
export const installedAt = (directory: string): Engine => {
  const packages = ["better-sqlite3", "koffi", "@koromix"]
    .concat(globSync("node-linux-*", { cwd: join(ROOT, "node_modules") }).map((it) => basename(it)))
  const parts = ["dist", ...packages.map((name) => join("node_modules", name))]
  for (const part of parts) {
    cpSync(join(ROOT, part), join(directory, part), { recursive: true })
  }
  return engineAt(directory)
}
