import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { builtinModules } from "node:module"
import { pathToFileURL } from "node:url"
import { build, type OutputFile, type Plugin } from "esbuild"

/** CommonJS packages in an ES module still ask for `require`. */
const REQUIRE = `const require = process.getBuiltinModule("module").createRequire(import.meta.url)`

/**
 * An ES import of a part of Node reads all that it exports, of which some is loaded when it is read
 * (of node:http, WebSocket with a second HTTP client: 30 ms and 10 MB). So each is asked for as an
 * object, and only what is used of it is read. node:tls, and node:https with it, begins to parse
 * all certificates of the system when it is loaded (30 ms), and of the program's parts only the
 * child needs them: those two are loaded by the first use.
 */
const builtins: Plugin = {
  name: "builtins",
  setup: (build) => {
    const isLazy = (name: string) => name === "https" || name === "tls"
    build.onResolve({ filter: /./ }, ({ path, kind }) => {
      const name = path.replace(/^node:/, "")
      if (!builtinModules.includes(name) || kind === "require-call" && !isLazy(name)) return
      return { path: name, namespace: "builtins", sideEffects: isLazy(name) }
    })
    build.onLoad({ filter: /./, namespace: "builtins" }, ({ path }) => {
      const loaded = `process.getBuiltinModule("${path}")`
      const names = Object.keys(process.getBuiltinModule(path)!)
      if (isLazy(path)) {
        return {
          contents: `for (const name of ${JSON.stringify(names)}) {
            Object.defineProperty(exports, name, { enumerable: true, get: () => ${loaded}[name] })
          }`,
        }
      }
      const told = names.filter((name) => name !== "default").map((name) =>
        `export const ${name} = /* @__PURE__ */ (() => loaded.${name})()`)
      return { contents: [`const loaded = ${loaded}`, "export default loaded", ...told].join("\n") }
    })
  },
}

/**
 * better-sqlite3 looks for its native part in all places where one may have been built, reads maps
 * of memory to know the libc, and is a dozen files itself. Here all of that is known.
 */
const nativePart: Plugin = {
  name: "native-part",
  setup: (build) => {
    build.onLoad({ filter: /better-sqlite3\/lib\/binding\.js$/ }, () => ({
      contents: `const { dirname, join } = require("node:path")
        const own = "better-sqlite3/package.json"
        const part = "prebuilds/linux-" + process.arch + ".node"
        exports.getBinding = () => require(join(dirname(require.resolve(own)), part))`,
    }))
  },
}

/** Makes the program of its entries: a few ES modules, of which each entry loads only its own. */
export const bundle = async (
  entryPoints: readonly string[],
  outdir: string,
): Promise<readonly OutputFile[]> => {
  const { outputFiles } = await build({
    entryPoints: [...entryPoints],
    outdir,
    write: false,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node24",
    plugins: [builtins, nativePart],
    // ws would look for native helpers of its own in every node_modules above.
    define: {
      "process.env.WS_NO_BUFFER_UTIL": '"1"', "process.env.WS_NO_UTF_8_VALIDATE": '"1"',
    },
    banner: { js: REQUIRE },
    // Names stay: a device's log shows them in stack traces. White space costs start-up time.
    minifyWhitespace: true,
    minifySyntax: true,
    entryNames: "[name]",
    chunkNames: "chunks/[name]-[hash]",
    legalComments: "none",
    logLevel: "warning",
  })
  return outputFiles
}

/**
 * Loads every chunk once, so that Node leaves its compiled code in the directory `compiled`. V8
 * takes that only from the same version with the same flags; those of the launchers make no
 * difference to it.
 */
export const compileAhead = (files: readonly OutputFile[], compiled: string): void => {
  fs.rmSync(compiled, { recursive: true, force: true })
  const urls = files.map(({ path }) => path).filter((path) => path.includes("/chunks/"))
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
