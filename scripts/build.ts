import * as fs from "node:fs"
import { dirname, join } from "node:path"
import { bundle, compileAhead } from "./bundle.ts"

/**
 * Makes `dist/`: the program as a few ES modules, of which each part loads only its own, and the
 * launchers by the names balenaEngine's one program has. Native packages stay in node_modules.
 */
const ROOT = join(import.meta.dirname, "..")
const DIST = join(ROOT, "dist")
const NAMES = ["balena", "balena-engine", "balenad", "balena-engine-daemon"]

/** Chunks of earlier builds are kept this long, for daemons that still run from them. */
const KEPT_MS = 60 * 60 * 1000

/** Puts a file in place whole: what runs from here meanwhile never reads half of one. */
function put(path: string, contents: string | Uint8Array, mode = 0o644): void {
  const part = `${path}.${process.pid}`
  fs.mkdirSync(dirname(path), { recursive: true })
  fs.writeFileSync(part, contents, { mode })
  fs.renameSync(part, path)
}

const files = await bundle([join(ROOT, "src/main.ts")], DIST)
// Chunks first: main.js names them.
for (const { path, contents } of files.toSorted((a, b) => b.path.length - a.path.length)) {
  put(path, contents)
}
put(join(DIST, "package.json"), '{ "type": "module" }\n')
const launcher = fs.readFileSync(join(import.meta.dirname, "launcher.sh"))
for (const name of NAMES) put(join(DIST, name), launcher, 0o755)

compileAhead(files, join(DIST, "compiled"))

const now = Date.now()
for (const name of fs.readdirSync(join(DIST, "chunks"))) {
  const path = join(DIST, "chunks", name)
  if (now - fs.statSync(path).mtimeMs > KEPT_MS) fs.rmSync(path)
}
