import { join } from "node:path"
import { deltaCase, type CaseName } from "../../images/delta-cases.ts"
import { imageId } from "../../images/image.ts"
import { askJson, pull, type Progress } from "../engines/docker.ts"
import type { Daemon, Engine } from "../engines/engine.ts"
import { inTurn } from "../figure.ts"
import { peakAnonymous, processorMs } from "../gauges.ts"
import { startWarm, warmRegistry } from "../pull.ts"
import type { Sitting } from "../sitting.ts"
import {
  blobsOf, forget, FORMATS, makeDelta, offer, oldReference, referenceOf, repositoryOf,
  shipDelta,
  WAYS,
  type Format, type Offered, type Way,
} from "./formats.ts"

const MB = 1e6
const LIMIT = 128 * 2 ** 20
/** Who needs longer than this in so little memory has not ended, as far as anybody would wait. */
const PATIENCE_MS = 300_000

/** Which quantities there are of a case, and of each way. */
export const QUANTITIES = [
  "bytes", "makeS", "makeCpuS", "makeMb", "pullS", "pullCpuS", "pullMb", "tightPullS",
] as const
export type Quantity = (typeof QUANTITIES)[number]

/** What was found of one quantity: a number for each run, or why there is none. */
export interface Found {
  readonly samples: readonly number[]
  readonly fault?: string
}

/** Everything that was found, while it grows. */
export class Ledger {
  readonly #found = new Map<string, { readonly samples: number[]; fault?: string }>()

  add(name: CaseName, way: Way, values: Partial<Record<Quantity, number>>): void {
    for (const quantity of QUANTITIES) {
      const value = values[quantity]
      if (value !== undefined) this.#at(name, way, quantity).samples.push(value)
    }
  }

  fail(name: CaseName, way: Way, quantities: readonly Quantity[], fault: string): void {
    for (const quantity of quantities) this.#at(name, way, quantity).fault = fault
  }

  /** A fault counts for more than samples: what failed once is not there. */
  get(name: CaseName, way: Way, quantity: Quantity): Found {
    return this.#at(name, way, quantity)
  }

  #at(name: CaseName, way: Way, quantity: Quantity) {
    const key = `${name} ${way} ${quantity}`
    const found = this.#found.get(key) ?? { samples: [] }
    this.#found.set(key, found)
    return found
  }
}

/** What one piece of work took. */
interface Taken {
  readonly s: number
  /** Of all the engine's processes. */
  readonly cpuS: number
  /** Anonymous memory at its peak. */
  readonly mb: number
}

const taken = async ({ machine }: Daemon, work: () => Promise<void>): Promise<Taken> => {
  using peak = peakAnonymous(machine.cgroup)
  const before = processorMs(machine.cgroup)
  const began = performance.now()
  await work()
  const ms = performance.now() - began
  const cpuMs = processorMs(machine.cgroup) - before
  return { s: ms / 1000, cpuS: cpuMs / 1000, mb: peak.bytes() / MB }
}

/** One case on one engine; every measurement by a daemon just started. */
interface Bench {
  readonly sitting: Sitting
  readonly engine: Engine
  readonly offered: Offered
  readonly ledger: Ledger
  readonly run: number
}

/** Makes deltas where both images are. */
const makeAll = async (bench: Bench): Promise<void> => {
  const { sitting, engine, offered, run } = bench
  await using volume = await sitting.volume(engine)
  const dataRoot = join(volume.mountPoint, "data")
  const wanted = FORMATS.map((format) => referenceOf(offered, format))
  await fill(bench, dataRoot, [oldReference(offered), ...wanted])
  for (const format of inTurn(FORMATS, run)) {
    await noted(bench, format, ["bytes", "makeS", "makeCpuS", "makeMb"], async () => {
      const { s, cpuS, mb } = await make(bench, dataRoot, format)
      const blobs = await blobsOf(offered, format)
      const bytes = blobs.reduce((sum, { size }) => sum + size, 0)
      return { bytes, makeS: s, makeCpuS: cpuS, makeMb: mb }
    })
  }
}

const make = async (
  { sitting, engine, offered }: Bench,
  dataRoot: string,
  format: Format,
): Promise<Taken> => {
  await using daemon = await startWarm(sitting, engine, dataRoot, {})
  const { socket } = daemon
  const found = await taken(daemon, () => makeDelta(socket, offered, format))
  await shipDelta(socket, offered, format)
  await daemon.stop()
  return found
}

/** Pulls the new image where the old one is, as layers and as each delta. */
const pullAll = async (bench: Bench): Promise<void> => {
  const { sitting, engine, offered, run } = bench
  await using volume = await sitting.volume(engine)
  const dataRoot = join(volume.mountPoint, "data")
  await fill(bench, dataRoot, [oldReference(offered)])
  for (const way of inTurn(WAYS, run)) {
    await noted(bench, way, ["pullS", "pullCpuS", "pullMb"], async () => {
      const { s, cpuS, mb } = await update(bench, dataRoot, way)
      return { pullS: s, pullCpuS: cpuS, pullMb: mb }
    })
    await noted(bench, way, ["tightPullS"], async () => {
      const { s } = await update(bench, dataRoot, way, LIMIT)
      return { tightPullS: s }
    })
  }
}

/** The pull, checked: what is there after it is the new image, and it is gone before the next. */
const update = async (
  { sitting, engine, offered, ledger }: Bench,
  dataRoot: string,
  way: Way,
  limit?: number,
): Promise<Taken> => {
  const options = limit === undefined ? {} : { limit, signal: AbortSignal.timeout(PATIENCE_MS) }
  // The registry keeps what earlier sittings sent.
  const made = ledger.get(offered.pair.name, way, "bytes").samples.length > 0
  if (!made) throw new Error("no delta was made")
  const blobs = (await blobsOf(offered, way)).map(({ digest }) => digest)
  await using daemon = await startWarm(sitting, engine, dataRoot, options)
  const { socket } = daemon
  const reference = referenceOf(offered, way)
  await warmRegistry(sitting, repositoryOf(offered, way), blobs)
  const heard: string[] = []
  const hear = ({ status = "" }: Progress) => void heard.push(status)
  const found = await taken(daemon, () => pull(socket, reference, hear, options.signal))
  const hasFound = heard.some((status) => status.startsWith("Pulling a delta of"))
  if (hasFound !== (way !== "layers")) {
    throw new Error(`the pull found ${hasFound ? "a" : "no"} delta`)
  }
  const { Id } = await askJson<{ readonly Id: string }>(socket, "GET", `/images/${reference}/json`)
  const wanted = imageId(offered.pair.new)
  if (Id !== wanted) throw new Error(`the pull gave ${Id}, not the new image ${wanted}`)
  await forget(socket, reference)
  await daemon.stop()
  return found
}

/** Brings images into an empty data root. */
const fill = async (
  { sitting, engine }: Bench,
  dataRoot: string,
  references: readonly string[],
): Promise<void> => {
  await using daemon = await sitting.start(engine, { dataRoot })
  for (const reference of references) await pull(daemon.socket, reference)
  await daemon.stop()
}

/** Writes down what a measurement gave, or why it gave nothing. */
const noted = async (
  { sitting, offered: { pair: { name } }, ledger }: Bench,
  way: Way,
  quantities: readonly Quantity[],
  measured: () => Promise<Partial<Record<Quantity, number>>>,
): Promise<void> => {
  try {
    const values = await measured()
    ledger.add(name, way, values)
    const shown = Object.entries(values).map(([key, value]) => `${key} ${value.toFixed(2)}`)
    sitting.say(`${name}, ${way}: ${shown.join(", ")}`)
  } catch (fault) {
    const said = fault instanceof Error ? fault.message : String(fault)
    ledger.fail(name, way, quantities, said)
    sitting.say(`${name}, ${way}: no ${quantities.join(", ")}: ${said.slice(0, 300)}`)
  }
}

/** Measures these cases, so many runs each. */
export const measureDeltas = async (
  sitting: Sitting,
  cases: readonly CaseName[],
  runs: number,
): Promise<Ledger> => {
  const ledger = new Ledger()
  const engine = sitting.engines.find(({ name }) => name === "balena")!
  for (const name of cases) {
    sitting.say(`case ${name}: both images are built once, then kept`)
    const offered = await offer(await deltaCase(name), sitting.registryHost)
    const layers = await blobsOf(offered, "layers")
    ledger.add(name, "layers", { bytes: layers.reduce((sum, { size }) => sum + size, 0) })
    for (let run = 0; run < runs; run++) {
      const bench = { sitting, engine, offered, ledger, run }
      await makeAll(bench)
      await pullAll(bench)
    }
  }
  return ledger
}
