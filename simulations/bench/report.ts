import { median, type Figure, type Row, type Unit } from "./figure.ts"

/** What a sitting found. */
export interface Result {
  readonly figure: Figure
  readonly runs: number
  readonly rows: readonly Row[]
}

const PEER = "dockerd"
const DIGITS: Readonly<Record<Unit, number>> = { ms: 0, s: 2, MB: 1, "per byte": 2, times: 2 }

const shown = (value: number, unit: Unit): string =>
  value === Infinity ? "does not end" : value.toFixed(DIGITS[unit])

/** Median and minimum. */
const cell = ({ samples, unit }: Row, engine: string): string => {
  const all = samples[engine] ?? []
  if (all.length === 0) return "-"
  return `${shown(median(all), unit)} (${shown(Math.min(...all), unit)})`
}

const medians = ({ samples }: Row): Readonly<Record<string, number>> =>
  Object.fromEntries(Object.entries(samples).map(([engine, all]) => [engine, median(all)]))

/** This engine's median as a part of its peer's. */
const ratio = (row: Row): string => {
  const { balena = NaN, [PEER]: peer = NaN } = medians(row)
  const share = balena / peer
  return Number.isFinite(share) && peer > 0 ? share.toFixed(2) : "-"
}

const verdict = (row: Row): readonly [string, string] =>
  row.aim === undefined ? ["", ""] : [row.aim.text, row.aim.met(medians(row)) ? "met" : "missed"]

/** A table that is readable as it is and as Markdown. */
export const aligned = (head: readonly string[], lines: readonly (readonly string[])[]): string => {
  const widths = head.map((name, column) =>
    Math.max(3, name.length, ...lines.map((line) => line[column]?.length ?? 0)))
  const text = (cells: readonly string[]) =>
    `| ${cells.map((it, column) => it.padEnd(widths[column] ?? 0)).join(" | ")} |`
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`
  return [text(head), rule, ...lines.map(text)].join("\n")
}

/** Both engines' figures, a line for each row. */
export const table = (rows: readonly Row[]): string =>
  aligned(["", "unit", "balenaEngine", PEER, "ratio", "aim", ""], rows.map((row) =>
    [row.name, row.unit, cell(row, "balena"), cell(row, PEER), ratio(row), ...verdict(row)]))

/** The document: what was measured, on what, how, and what came of it. */
export const documentOf = (
  results: readonly Result[],
  facts: readonly string[],
  versions: readonly string[],
): string => `# Benchmarks

Written by \`npm run bench\`: this engine beside Debian's dockerd, on the same machine, disk, images
and registry, in one sitting and in turn. Each figure is the median of its runs, the minimum in
brackets; a ratio below 1 is in this engine's favour. MB are millions of bytes.

${table(results.flatMap(({ rows }) => rows))}

## On what

${facts.map((fact) => `- ${fact}`).join("\n")}
- ${versions.join(", ")}

## How

Each daemon runs in a machine of its own, as far as it can tell: pid and mount namespaces, boot id,
and a memory cgroup that all its processes are in; its containers are in another.

${results.map(methodOf).join("\n\n")}
`

const methodOf = ({ figure, runs }: Result): string =>
  `**${figure.name}**, ${runs} runs. ${figure.method}`
