import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { loadBefore, machineFacts, versions } from "./facts.ts"
import type { Figure } from "./figure.ts"
import { memoryFigure } from "./memory.ts"
import { pullFigure } from "./pull.ts"
import { documentOf, table, type Result } from "./report.ts"
import { runFigure } from "./run.ts"
import { openSitting } from "./sitting.ts"
import { squeezeFigure } from "./squeeze.ts"
import { startFigure } from "./start.ts"

const FIGURES = [pullFigure, squeezeFigure, runFigure, memoryFigure, startFigure]
const DOCUMENT = join(import.meta.dirname, "../../docs/benchmarks.md")

const USAGE = `Usage: npm run bench -- [FIGURE...] [--runs N]

Measures this engine beside dockerd. All figures, and then docs/benchmarks.md is written anew;
or only those named:

  pull     time, page cache, bytes written    squeeze  the pull in 96 MiB of memory
  run      docker run --rm busybox true       memory   idle, and per container
  start    to the first _ping

  --runs N  how many of each (${FIGURES.map(({ name, runs }) => `${name} ${runs}`).join(", ")})
`

const named = (name: string): Figure => {
  const figure = FIGURES.find((it) => it.name === name)
  if (figure === undefined) throw new Error(`there is no figure ${name}\n${USAGE}`)
  return figure
}

const main = async (): Promise<void> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { runs: { type: "string" }, help: { type: "boolean", default: false } },
  })
  if (values.help) {
    process.stdout.write(USAGE)
    return
  }
  const figures = positionals.length === 0 ? FIGURES : positionals.map(named)
  if (process.getuid?.() !== 0) throw new Error("this needs root")
  const load = loadBefore()
  await using sitting = await openSitting((text) => void process.stderr.write(`${text}\n`))
  const results: Result[] = []
  for (const figure of figures) {
    const runs = Number(values.runs ?? figure.runs)
    results.push({ figure, runs, rows: await figure.measure(sitting, runs) })
  }
  const facts = machineFacts(sitting, load)
  const found = documentOf(results, facts, await versions())
  process.stdout.write(`\n${table(results.flatMap(({ rows }) => rows))}\n\n${facts.join("\n")}\n`)
  if (figures === FIGURES) writeFileSync(DOCUMENT, found)
}

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130))
  await main()
}
