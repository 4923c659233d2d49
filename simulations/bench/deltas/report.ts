import { CASE_TITLES, type CaseName } from "../../images/delta-cases.ts"
import { median } from "../figure.ts"
import { aligned } from "../report.ts"
import { WAYS, type Way } from "./formats.ts"
import type { Ledger, Quantity } from "./measure.ts"
import { ANNOUNCED, BALENA_ENGINE } from "./published.ts"

const HEAD = [
  "", "unit", "layers", "delta, v3", "delta, own", "real: layers", "real: delta", "announced",
]
const KB = 1e3
const TIMES = "times"

/** One number as it is shown; empty where there is nothing to compare with. */
const shown = (value: number | undefined, digits = 1): string =>
  value === undefined || Number.isNaN(value) ? "" : value.toFixed(digits)

/** Medians of this engine's ways, and then what is known of others. */
const line = (
  name: string,
  unit: string,
  cells: readonly string[],
  others: readonly (number | undefined)[],
  digits = 1,
): readonly string[] => [name, unit, ...cells, ...others.map((it) => shown(it, digits))]

/** A case's lines: size, making, pulling, both in little memory. */
const linesOf = (ledger: Ledger, name: CaseName): readonly (readonly string[])[] => {
  const real = BALENA_ENGINE[name]
  const cellOf = (quantity: Quantity, digits: number, scale = 1) => (way: Way): string => {
    const { samples, fault } = ledger.get(name, way, quantity)
    if (fault !== undefined) return `no: ${fault.slice(0, 40)}`
    return samples.length === 0 ? "-" : shown(median(samples) / scale, digits)
  }
  const cells = (quantity: Quantity, digits = 1, scale = 1) =>
    WAYS.map(cellOf(quantity, digits, scale))
  const bytes = (way: Way) => median(ledger.get(name, way, "bytes").samples)
  const times = WAYS.map((way) => shown(bytes("layers") / bytes(way)) || "-")
  const smaller = real.layerBytes / real.deltaBytes
  return [
    line(CASE_TITLES[name], "", WAYS.map(() => ""), []),
    line("fetched", "kB", cells("bytes", 0, KB),
      [real.layerBytes / KB, real.deltaBytes / KB, undefined], 0),
    line("smaller than layers", TIMES, times, [1, smaller, ANNOUNCED[name]]),
    line("made in", "s", cells("makeS"), [undefined, real.createS, undefined]),
    line("memory at its peak", "MB", cells("makeMb"), [undefined, real.createMb, undefined]),
    line("pulled in", "s", cells("pullS"), [real.ordinaryS, real.applyS, undefined]),
    line("memory at its peak", "MB", cells("pullMb"), [real.ordinaryMb, real.applyMb, undefined]),
    line("made in 128 MiB in", "s", cells("tightMakeS"), [undefined, undefined, undefined]),
    line("pulled in 128 MiB in", "s", cells("tightPullS"), [undefined, undefined, undefined]),
  ].map((cells) => [...cells, ...HEAD.slice(cells.length).map(() => "")])
}

export const deltaTable = (ledger: Ledger, cases: readonly CaseName[]): string =>
  aligned(HEAD, cases.flatMap((name) => linesOf(ledger, name)))

/** The document: what was measured, on what, how, and what came of it. */
export const deltaDocument = (
  ledger: Ledger,
  cases: readonly CaseName[],
  runs: number,
  facts: readonly string[],
  versions: readonly string[],
): string => `# Deltas, measured

Written by \`npm run bench -- deltas\`: what an update of one image to the next costs this engine,
as layers and as a delta in either format, on one machine in one sitting and in turn. Medians of
${runs} runs; kB and MB are thousands and millions of bytes.

${deltaTable(ledger, cases)}

*real*: balenaEngine v20.10.44, measured once on its own builds of the same cases and on another
machine; its memory is what its daemon alone had resident (VmHWM), here it is the anonymous memory
of all processes. *announced*: what balenaEngine was announced with in 2017. Times on different
machines compare as ratios only.

## On what

${facts.map((fact) => `- ${fact}`).join("\n")}
- ${versions.join(", ")}

## How

\`simulations/images/delta-cases.ts\` builds both images of each case with Debian's dockerd, on one
layer of Debian in common, everything above it twice. *fetched* are blobs that a device with the
old image needs: the new image's layers, compressed by gzip -6, or the delta's. Config and manifest
are not counted.

Each measurement is by a daemon just started, after a small pull that brings its programs into
memory, on an ext4 of its own. *made*: from the request to its end, both images being there; the
push is not in it. *pulled*: from docker-registry on loopback, which sends from memory, with the old
image there; what is there afterwards is the new one, by its id. Memory is anonymous, of all the
engine's processes, looked at every 50 ms. *in 128 MiB*: the daemon with all its processes lives
from its start on in a memory cgroup limited to that.
`
