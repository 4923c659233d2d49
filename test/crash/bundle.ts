import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { bundle, compileAhead } from "../../scripts/bundle.ts"

const ROOT = join(import.meta.dirname, "../..")

/**
 * Bundles the crashing daemon and its child as the real ones are, so that starting one a hundred
 * times takes no time. Answers the words that run it; removed when disposed.
 */
export const bundled = async (): Promise<{ program: readonly string[] } & Disposable> => {
  const cache = join(ROOT, "node_modules/.cache") // packages are looked for beside it
  mkdirSync(cache, { recursive: true })
  const outdir = mkdtempSync(join(cache, "crash-"))
  const entries = [join(import.meta.dirname, "daemon.ts"), join(ROOT, "src/main.ts")]
  const files = await bundle(entries, outdir)
  for (const { path, contents } of files) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, contents)
  }
  writeFileSync(join(outdir, "package.json"), '{ "type": "module" }\n')
  const compiled = join(outdir, "compiled")
  compileAhead(files, compiled)
  return {
    program: ["env", `NODE_COMPILE_CACHE=${compiled}`, "NODE_COMPILE_CACHE_PORTABLE=1",
      process.execPath, join(outdir, "daemon.js")],
    [Symbol.dispose]: () => rmSync(outdir, { recursive: true, force: true }),
  }
}
