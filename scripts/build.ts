import * as fs from "node:fs"
import { isBuiltin } from "node:module"
import { dirname, join } from "node:path"
import { build, type Plugin } from "esbuild"

/**
 * Makes `dist/`: the program as a few ES modules, of which each part loads only its own, and the
 * launchers by the names balenaEngine's one program has. Native packages stay in node_modules.
 */
const ROOT = join(import.meta.dirname, "..")
const DIST = join(ROOT, "dist")
const NAMES = ["balena", "balena-engine", "balenad", "balena-engine-daemon"]

/** CommonJS packages in an ES module still ask for `require`. */
const REQUIRE =
  'const require = process.getBuiltinModule("node:module").createRequire(import.meta.url)'

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
 * An ES import of a module of Node's reads everything that it exports, and Node loads whatever is
 * behind each name when that is read: 60 ms and 10 MB, a second HTTP client among it. Asked for as
 * an object, only what is used is read.
 */
const onlyUsed: Plugin = {
  name: "only-used",
  setup: (build) => {
    build.onResolve({ filter: /./ }, ({ path, kind }) => {
      const isNodes = kind !== "require-call" && isBuiltin(path)
      return isNodes ? { path, namespace: "only-used", sideEffects: false } : undefined
    })
    build.onLoad({ filter: /./, namespace: "only-used" }, ({ path }) => {
      const names = Object.keys(process.getBuiltinModule(path) ?? {})
        .filter((name) => /^[A-Za-z]\w*$/.test(name) && name !== "default")
      return {
        contents: [
          `const all = /* @__PURE__ */ process.getBuiltinModule("${path}")`,
          "const read = (name) => all[name]",
          ...names.map((name) => `const $${name} = /* @__PURE__ */ read("${name}")`),
          `export { all as default, ${names.map((name) => `$${name} as ${name}`).join(", ")} }`,
        ].join("\n"),
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
  plugins: [onlyUsed],
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

const now = Date.now()
for (const name of fs.readdirSync(join(DIST, "chunks"))) {
  const path = join(DIST, "chunks", name)
  if (now - fs.statSync(path).mtimeMs > KEPT_MS) fs.rmSync(path)
}
