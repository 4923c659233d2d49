import { CASE_TITLES, type CaseName } from "../../images/delta-cases.ts"
import { median } from "../figure.ts"
import { aligned } from "../report.ts"
import { FORMATS, WAYS, type Way } from "./formats.ts"
import type { Ledger, Quantity } from "./measure.ts"
import { AIMS, ANNOUNCED, BALENA_ENGINE } from "./published.ts"

const HEAD = [
  "", "unit", "layers", "delta, v3", "delta, own", "real: layers", "real: delta", "announced",
]
const KB = 1e3

/** One number as it is shown; empty where there is none. */
const shown = (value: number | undefined, digits = 1): string =>
  value === undefined || Number.isNaN(value) ? "" : value.toFixed(digits)

/** What this engine needed in each way, a median or why there is none. */
const cells = (
  ledger: Ledger,
  name: CaseName,
  quantity: Quantity,
  digits: number,
  scale: number,
): readonly string[] =>
  WAYS.map((way) => {
    const { samples, fault } = ledger.get(name, way, quantity)
    if (fault !== undefined) return `no: ${fault.slice(0, 40)}`
    return shown(median(samples) / scale, digits)
  })

const bytesOf = (ledger: Ledger, name: CaseName, way: Way): number => {
  const { samples, fault } = ledger.get(name, way, "bytes")
  return fault === undefined ? median(samples) : NaN
}

/** How many times fewer bytes than the layers. */
const smaller = (ledger: Ledger, name: CaseName) => (way: Way): string =>
  shown(bytesOf(ledger, name, "layers") / bytesOf(ledger, name, way))

/** Each format's share of the real delta's bytes, and the aim. */
const shares = (ledger: Ledger, name: CaseName): readonly string[] =>
  FORMATS.map((format) => {
    const share = shown(bytesOf(ledger, name, format) / BALENA_ENGINE[name].deltaBytes, 2)
    const aim = AIMS[name]?.[format]
    return share === "" || aim === undefined ? share : `${share} (aim ${aim.toFixed(2)})`
  })

/** A case's lines: bytes, making, pulling, pulling in little memory. */
const linesOf = (ledger: Ledger, name: CaseName): readonly (readonly string[])[] => {
  const { layerBytes, deltaBytes, make, pullDelta, pullLayers } = BALENA_ENGINE[name]
  const line = (
    title: string,
    unit: string,
    quantity: Quantity,
    others: readonly (number | undefined)[] = [],
    { digits = 1, scale = 1 } = {},
  ) => [
    title, unit, ...cells(ledger, name, quantity, digits, scale),
    ...others.map((value) => shown(value && value / scale, digits)),
  ]
  const times = WAYS.map(smaller(ledger, name))
  const realTimes = [1, layerBytes / deltaBytes, ANNOUNCED[name]].map((it) => shown(it))
  return [
    [`**${name}**: ${CASE_TITLES[name]}`],
    line("fetched", "kB", "bytes", [layerBytes, deltaBytes], { digits: 0, scale: KB }),
    ["smaller than layers", "times", ...times, ...realTimes],
    ["of the real delta", "share", "", ...shares(ledger, name), "", "1.00"],
    line("made in", "s", "makeS", [undefined, make.s]),
    line("processor time of it", "s", "makeCpuS", [undefined, make.cpuS]),
    line("memory at its peak", "MB", "makeMb", [undefined, make.mb]),
    line("pulled in", "s", "pullS", [pullLayers.s, pullDelta.s]),
    line("processor time of it", "s", "pullCpuS", [pullLayers.cpuS, pullDelta.cpuS]),
    line("memory at its peak", "MB", "pullMb", [pullLayers.mb, pullDelta.mb]),
    line("pulled in 128 MiB in", "s", "tightPullS"),
  ].map((found) => [...found, ...HEAD.slice(found.length).map(() => "")])
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
image there; what is there afterwards is the new one, by its id. Processor time and memory are of
all the engine's processes; memory is anonymous, and looked at every 50 ms. *in 128 MiB*: the daemon
with all its processes lives from its start on in a memory cgroup limited to that.
`
