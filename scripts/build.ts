import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { dirname, join } from "node:path"
import { pathToFileURL } from "node:url"
import { build, type Plugin } from "esbuild"

/**
 * Makes `dist/`: the program as a few ES modules, of which each part loads only its own, and the
 * launchers by the names balenaEngine's one program has. Native packages stay in node_modules.
 */
const ROOT = join(import.meta.dirname, "..")
const DIST = join(ROOT, "dist")
const NAMES = ["balena", "balena-engine", "balenad", "balena-engine-daemon"]

/** CommonJS packages in an ES module still ask for `require`. */
const REQUIRE = `import { createRequire as createRequireHere } from "node:module"
const require = createRequireHere(import.meta.url)`

/** Chunks of earlier builds are kept this long, for daemons that still run from them. */
const KEPT_MS = 60 * 60 * 1000

/** Puts a file in place whole: what runs from here meanwhile never reads half of one. */
function put(path: string, contents: string | Uint8Array, mode = 0o644): void {
  const part = `${path}.${process.pid}`
  fs.mkdirSync(dirname(path), { recursive: true })
  fs.writeFileSync(part, contents, { mode })
  fs.renameSync(part, path)
}

/**
 * An ES import of node:http reads every name it exports, and one of them (WebSocket) makes Node
 * load a second HTTP client of its own: 30 ms and 10 MB. Asked for as an object, nothing is read.
 * node:tls, and node:https with it, begins to parse all certificates of the system when it is
 * loaded: 30 ms, and of its parts only the child needs them. It is loaded by the first use of it.
 */
const lazyBuiltins: Plugin = {
  name: "lazy-builtins",
  setup: (build) => {
    const filter = /^(node:)?(https?|tls)$/
    build.onResolve({ filter }, ({ path }) => ({
      path: path.replace("node:", ""), namespace: "lazy-builtins",
    }))
    build.onLoad({ filter: /./, namespace: "lazy-builtins" }, ({ path }) => {
      const loaded = `process.getBuiltinModule("${path}")`
      if (path === "http") return { contents: `module.exports = ${loaded}` }
      const names = JSON.stringify(Object.keys(process.getBuiltinModule(path)!))
      return {
        contents: `for (const name of ${names}) Object.defineProperty(exports, name, {
          enumerable: true, get: () => ${loaded}[name],
        })`,
      }
    })
  },
}

const { outputFiles } = await build({
  entryPoints: [join(ROOT, "src/main.ts")],
  outdir: DIST,
  write: false,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node24",
  external: ["better-sqlite3", "koffi"],
  plugins: [lazyBuiltins],
  banner: { js: REQUIRE },
  // Names stay: a device's log shows them in stack traces. White space costs start-up time.
  minifyWhitespace: true,
  minifySyntax: true,
  chunkNames: "chunks/[name]-[hash]",
  legalComments: "none",
  logLevel: "warning",
})
// Chunks first: main.js names them.
for (const { path, contents } of outputFiles.sort((a, b) => b.path.length - a.path.length)) {
  put(path, contents)
}
put(join(DIST, "package.json"), '{ "type": "module" }\n')
const launcher = fs.readFileSync(join(import.meta.dirname, "launcher.sh"))
for (const name of NAMES) put(join(DIST, name), launcher, 0o755)

/**
 * Loads every chunk once, so that Node leaves its compiled code beside them. V8 takes that only
 * from the same version with the same flags; those of the launchers make no difference to it.
 */
function compileAhead(): void {
  const compiled = join(DIST, "compiled")
  fs.rmSync(compiled, { recursive: true, force: true })
  const urls = outputFiles.map(({ path }) => path).filter((path) => path.includes("/chunks/"))
    .map((path) => pathToFileURL(path).href)
  const { status, stderr } = spawnSync(process.execPath, [
    "--input-type=module", "--eval",
    "for (const url of process.argv.slice(1)) await import(url)", "--", ...urls,
  ], {
    env: { ...process.env, NODE_COMPILE_CACHE: compiled, NODE_COMPILE_CACHE_PORTABLE: "1" },
    encoding: "utf8",
  })
  if (status !== 0) throw new Error(`the program does not load: ${stderr}`)
}
compileAhead()

const now = Date.now()
for (const name of fs.readdirSync(join(DIST, "chunks"))) {
  const path = join(DIST, "chunks", name)
  if (now - fs.statSync(path).mtimeMs > KEPT_MS) fs.rmSync(path)
}
