import type { Source } from "./source.ts"

/**
 * What each room may import beside `effect` and its own files (DESIGN 3). A name without a colon or
 * `@` is a package or another room; `machines/words` is that one file.
 */
export const ROOMS: Readonly<Record<string, readonly string[]>> = {
  machines: ["xstate"],
  oci: ["node:zlib", "node:crypto", "node:buffer", "node:path/posix", "machines/words"],
  net: ["oci", "node:zlib", "node:crypto", "node:buffer", "node:path/posix", "machines/words"],
  // The zstd of node:zlib copies a dictionary, which here is large.
  delta: [
    "oci", "node:zlib", "node:crypto", "node:buffer", "node:path/posix", "machines/words",
    "kernel/unzstd",
  ],
  build: ["oci", "node:zlib", "node:crypto", "node:buffer", "node:path/posix", "machines/words"],
  kernel: ["node:*", "koffi", "machines/words"],
  store: ["better-sqlite3", "machines/words"],
  registry: ["undici", "node:net", "node:tls", "oci", "machines/words"],
  // Only what the child reaches may speak to a registry: see `CARRIER`.
  layers: ["tar-stream", "kernel", "delta", "oci", "registry", "machines/words", "node:path/posix"],
  settings: ["kernel", "machines/words"],
  engine: [
    "xstate", "machines", "store", "layers", "kernel", "settings", "oci", "net", "delta", "build",
    "registry", "node:path/posix",
  ],
  api: [
    "@effect/platform-node", "node:http", "node:net", "node:tls", "node:stream", "engine",
    "machines", "oci",
  ],
  cli: ["node:*", "api/schema", "api/client", "build"],
  main: ["*"],
  daemon: ["*"],
  stopped: ["*"],
}

/** The daemon's side of the extraction child, which must not load an HTTP client for pulls. */
export const CARRIER = "src/layers/carrier-linux.ts"
export const HTTP_CLIENT = "undici"

/** The room a file is in: `src/oci/digest.ts` is in `oci`, `src/settings.ts` in `settings`. */
export function roomOf(path: string): string {
  const [first = "", second = ""] = path.split("/")
  return (first === "src" ? second : first).replace(/\.ts$/, "")
}

/** How the table names what a file imports: a room, one file of it, a package or `node:x`. */
function namesOf(target: string): readonly string[] {
  const isOurs = /^(src|machines|test|simulations|scripts)\//.test(target)
  if (isOurs) {
    const inside = target.replace(/^src\//, "").replace(/\.ts$/, "")
    const parts = inside.split("/")
    return parts.map((_, at) => parts.slice(0, at + 1).join("/"))
  }
  if (target.startsWith("node:")) return [target, "node:*"]
  const parts = target.split("/")
  return [parts.slice(0, target.startsWith("@") ? 2 : 1).join("/")]
}

/** Imports that no door allows: `src/kernel/bad.ts: no door from kernel to store`. */
export function wrongDoors({ path, imports }: Source): string[] {
  const room = roomOf(path)
  const doors = ROOMS[room]
  if (doors === undefined) return [`${path}: no room is called ${room}`]
  if (doors.includes("*")) return []
  const withEffect = room === "machines" ? doors : [...doors, "effect"]
  return imports
    .filter((target) => roomOf(target) !== room)
    .filter((target) => !namesOf(target).some((name) => withEffect.includes(name)))
    .map((target) => {
      const [name = target] = namesOf(target)
      return `${path}: no door from ${room} to ${name} (${target})`
    })
}

/** Barrels that bring everything, or what is not installed: their modules are imported instead. */
const BARRELS = ["effect", "@effect/platform-node"]
export const barrels = ({ path, imports }: Source): string[] =>
  imports.filter((target) => BARRELS.includes(target))
    .map((target) => `${path}: import a module of ${target}, not all of it`)

/** Every file and package that can be reached from one file, over imports of any kind. */
export function reachable(sources: readonly Source[], from: string): ReadonlySet<string> {
  const byPath = new Map(sources.map((source) => [source.path, source]))
  const reached = new Set([from])
  for (const path of reached) {
    for (const target of byPath.get(path)?.imports ?? []) reached.add(target)
  }
  return reached
}
