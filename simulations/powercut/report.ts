import type { Finding } from "./scenario.ts"

const MIB = 2 ** 20

/** What a run came to: cuts of each kind, what was fetched again, how to run it again. */
export const report = (findings: readonly Finding[], replay: readonly string[]): string => {
  const kinds = [...new Set(findings.map(({ kind }) => kind))].toSorted()
  const rows = kinds.map((kind) => {
    const those = findings.filter((finding) => finding.kind === kind)
    const again = those.flatMap(({ refetched }) => (refetched === null ? [] : [refetched]))
    const worst = again.length === 0 ? "-" : `${(Math.max(...again) / MIB).toFixed(1)} MiB`
    const middle = again.toSorted((one, other) => one - other)[again.length >> 1]
    const median = middle === undefined ? "-" : `${(middle / MIB).toFixed(1)} MiB`
    const violated = those.filter(({ violations }) => violations.length > 0).length
    return [kind, String(those.length), median, worst, String(violated)]
  })
  const head = ["on the disk", "cuts", "fetched again (median)", "worst", "violations"]
  const widths = head.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()
  const violated = findings.filter(({ violations }) => violations.length > 0)
  const verdict = violated.length === 0
    ? [`${findings.length} power cuts, no violation`]
    : [
      `${findings.length} power cuts, ${violated.length} with a violation:`,
      ...violated.map(({ label, violations }) => `  ${label}: ${violations.join("; ")}`),
      `npm run powercut -- ${replay.join(" ")}`,
    ]
  return ["", line(head), ...rows.map(line), "", ...verdict, ""].join("\n")
}
