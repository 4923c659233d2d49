import { mkdtempSync, rmSync } from "node:fs"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { build } from "esbuild"

const ROOT = join(import.meta.dirname, "../..")

/**
 * Bundles the crashing daemon and its child as scripts/build.ts does the real ones, so that
 * starting one a hundred times takes no time. Answers the words that run it; removed when disposed.
 */
export const bundled = async (): Promise<{ program: readonly string[] } & Disposable> => {
  const cache = join(ROOT, "node_modules/.cache") // packages are looked for beside it
  await mkdir(cache, { recursive: true })
  const outdir = mkdtempSync(join(cache, "crash-"))
  await build({
    entryPoints: [join(import.meta.dirname, "daemon.ts"), join(ROOT, "src/main.ts")],
    entryNames: "[name]",
    outdir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node24",
    external: ["better-sqlite3", "koffi"],
    banner: {
      js: `import { createRequire as createRequireHere } from "node:module"
const require = createRequireHere(import.meta.url)`,
    },
    logLevel: "warning",
  })
  return {
    program: [process.execPath, join(outdir, "daemon.mjs")],
    [Symbol.dispose]: () => rmSync(outdir, { recursive: true, force: true }),
  }
}
