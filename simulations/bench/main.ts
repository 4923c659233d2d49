import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { CASES, type CaseName } from "../images/delta-cases.ts"
import { measureDeltas } from "./deltas/measure.ts"
import { deltaDocument, deltaTable } from "./deltas/report.ts"
import { loadBefore, machineFacts, versions } from "./facts.ts"
import type { Figure } from "./figure.ts"
import { memoryFigure } from "./memory.ts"
import { pullFigure } from "./pull.ts"
import { documentOf, table, type Result } from "./report.ts"
import { runFigure } from "./run.ts"
import { openSitting, type Sitting } from "./sitting.ts"
import { squeezeFigure } from "./squeeze.ts"
import { startFigure } from "./start.ts"

const FIGURES = [pullFigure, squeezeFigure, runFigure, memoryFigure, startFigure]
const DOCUMENTS = join(import.meta.dirname, "../../docs")
/** Of deltas. b2 says little that b does not. */
const DELTA_CASES = CASES.filter((name) => name !== "b2")
const DELTA_RUNS = 3

const USAGE = `Usage: npm run bench -- [FIGURE...] [--runs N]
       npm run bench -- deltas [CASE...] [--runs N]

Measures this engine beside dockerd. All figures, and then docs/benchmarks.md is written anew;
or only those named:

  pull     time, page cache, bytes written    squeeze  the pull in 96 MiB of memory
  run      docker run --rm busybox true       memory   idle, and per container
  start    to the first _ping

deltas measures what an update costs as layers and as a delta, and writes docs/benchmarks-deltas.md;
or only these cases: ${CASES.join(", ")}.

  --runs N  how many of each (${FIGURES.map(({ name, runs }) => `${name} ${runs}`).join(", ")},
            deltas ${DELTA_RUNS})
`

const named = (name: string): Figure => {
  const figure = FIGURES.find((it) => it.name === name)
  if (figure === undefined) throw new Error(`there is no figure ${name}\n${USAGE}`)
  return figure
}

const caseNamed = (name: string): CaseName => {
  const found = CASES.find((it) => it === name)
  if (found === undefined) throw new Error(`there is no case ${name}\n${USAGE}`)
  return found
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
  if (process.getuid?.() !== 0) throw new Error("this needs root")
  const runs = values.runs === undefined ? undefined : Number(values.runs)
  const [first, ...rest] = positionals
  const measure = first === "deltas" ? deltas(rest) : figures(positionals)
  const load = loadBefore()
  await using sitting = await openSitting((text) => void process.stderr.write(`${text}\n`))
  await measure(sitting, load, runs)
}

type Measure = (sitting: Sitting, load: number, runs?: number) => Promise<void>

const figures = (names: readonly string[]): Measure => {
  const chosen = names.length === 0 ? FIGURES : names.map(named)
  return async (sitting, load, given) => {
    const results: Result[] = []
    for (const figure of chosen) {
      const runs = given ?? figure.runs
      results.push({ figure, runs, rows: await figure.measure(sitting, runs) })
    }
    const facts = machineFacts(sitting, load)
    print(table(results.flatMap(({ rows }) => rows)), facts)
    if (chosen !== FIGURES) return
    writeFileSync(join(DOCUMENTS, "benchmarks.md"), documentOf(results, facts, await versions()))
  }
}

const deltas = (names: readonly string[]): Measure => {
  const chosen = names.length === 0 ? DELTA_CASES : names.map(caseNamed)
  return async (sitting, load, runs = DELTA_RUNS) => {
    const ledger = await measureDeltas(sitting, chosen, runs)
    const facts = machineFacts(sitting, load)
    print(deltaTable(ledger, chosen), facts)
    if (chosen !== DELTA_CASES) return
    const found = deltaDocument(ledger, chosen, runs, facts, await versions())
    writeFileSync(join(DOCUMENTS, "benchmarks-deltas.md"), found)
  }
}

const print = (table: string, facts: readonly string[]): void =>
  void process.stdout.write(`\n${table}\n\n${facts.join("\n")}\n`)

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130))
  await main()
}
