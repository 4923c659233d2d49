import { describe, expect, test } from "vitest"
import { Ledger } from "../simulations/bench/deltas/measure.ts"
import { deltaTable } from "../simulations/bench/deltas/report.ts"

/** A line of the table, by how it begins; its cells without the padding. */
const lineOf = (table: string, name: string): readonly string[] => {
  const line = table.split("\n").find((it) => it.startsWith(`| ${name} `)) ?? ""
  return line.split("|").slice(1, -1).map((cell) => cell.trim())
}

describe("the table of what an update costs", () => {
  test("has medians, and how many times smaller each delta is", () => {
    const ledger = new Ledger()
    ledger.add("a", "layers", { bytes: 9_000_000 })
    for (const pullS of [3, 1, 2]) ledger.add("a", "v3", { bytes: 450_000, pullS })
    const table = deltaTable(ledger, ["a"])
    expect(lineOf(table, "fetched").slice(2, 5)).toEqual(["9000", "450", ""])
    expect(lineOf(table, "smaller than layers").slice(2)).toEqual(
      ["1.0", "20.0", "", "1.0", "95.2", "71.6"])
    expect(lineOf(table, "pulled in").slice(2, 4)).toEqual(["", "2.0"])
  })

  test("shows why there is no number, even where an earlier run gave one", () => {
    const ledger = new Ledger()
    ledger.add("b", "layers", { bytes: 9_000_000 })
    ledger.add("b", "own", { bytes: 1 })
    ledger.fail("b", "own", ["bytes", "makeS"], "not there yet")
    const table = deltaTable(ledger, ["b"])
    expect(lineOf(table, "fetched")[4]).toBe("no: not there yet")
    expect(lineOf(table, "made in")[4]).toBe("no: not there yet")
    expect(lineOf(table, "smaller than layers")[4]).toBe("")
  })
})
