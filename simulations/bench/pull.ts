import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { run } from "../images/command.ts"
import { uncompressed } from "../images/layer.ts"
import type { BuiltImage } from "../images/image.ts"
import { sectorsWritten, type Volume } from "../powercut/disk.ts"
import { pull } from "./engines/docker.ts"
import type { Daemon, Engine } from "./engines/engine.ts"
import { atMost, inTurn, Series, type Figure, type Row } from "./figure.ts"
import {
  chargedTo, deviceCache, dropCaches, limitMemory, peakAnonymous, processorMs,
} from "./gauges.ts"
import type { Sitting } from "./sitting.ts"
import { extractedIn, type Extent } from "./tree.ts"

const MB = 1e6
const SECTOR = 512
/** Longer than this engine keeps its extraction child waiting for more: it is to start one. */
const REST_MS = 4_000
/** What a file system needs beside the content of a tree, for each entry and for the journal. */
const ENTRY_BYTES = 1.25 * 1024
const JOURNAL_SHARE = 1.005

/** What one pull took. Bytes, milliseconds. */
interface Pulled {
  readonly ms: number
  readonly processorMs: number
  /** Content still to be written when the client was told of the end; how long all then took. */
  readonly dirty: number
  readonly syncMs: number
  /** Pages of files that the engine was charged for beyond those before. */
  readonly cache: number
  /** Of the file system's own metadata. */
  readonly metadata: number
  readonly peakAnonymous: number
  /** To the disk, up to the end of the sync. */
  readonly written: number
  readonly extracted: Extent
}

export interface WarmOptions {
  /** For all the engine's processes together, from its start on. Bytes. */
  readonly limit?: number
  /** Ends what takes too long. */
  readonly signal?: AbortSignal
}

/**
 * Pulls the sitting's image with a fresh engine on a fresh disk. A small pull comes before, so that
 * the engine's programs are in memory: the pages that the image itself adds are what is asked for.
 */
export const pullOnce = async (
  sitting: Sitting,
  engine: Engine,
  options: WarmOptions = {},
): Promise<Pulled> => {
  await using volume = await sitting.volume(engine)
  const dataRoot = join(volume.mountPoint, "data")
  await using daemon = await startWarm(sitting, engine, dataRoot, options)
  const blobs = sitting.image.layers.map(({ digest }) => digest)
  await warmRegistry(sitting, "bench/debian", blobs)
  await run("sync", ["--file-system", volume.mountPoint])
  const there = extractedIn(dataRoot)
  const before = read(daemon, volume)
  using peak = peakAnonymous(daemon.machine.cgroup)
  const began = performance.now()
  await pull(daemon.socket, sitting.reference, () => {}, options.signal)
  const ended = performance.now()
  const after = read(daemon, volume)
  await run("sync", ["--file-system", volume.mountPoint])
  const syncMs = performance.now() - ended
  const written = sectorsWritten(volume) * SECTOR - before.written
  const extracted = extractedIn(dataRoot)
  await daemon.stop()
  return {
    ms: ended - began,
    processorMs: after.processorMs - before.processorMs,
    dirty: after.dirty - before.dirty,
    syncMs,
    cache: after.cache - before.cache,
    metadata: after.metadata - before.metadata,
    peakAnonymous: peak.bytes(),
    written,
    extracted: {
      bytes: extracted.bytes - there.bytes,
      entries: extracted.entries - there.entries,
    },
  }
}

const read = ({ machine }: Daemon, volume: Volume) => {
  const charged = chargedTo(machine.cgroup)
  const device = deviceCache(volume.device)
  return {
    dirty: charged.dirty - device.dirty,
    cache: charged.cache - device.cache,
    metadata: device.cache,
    processorMs: processorMs(machine.cgroup),
    written: sectorsWritten(volume) * SECTOR,
  }
}

/** Starts an engine that has its programs in memory and no child that waits for more. */
export const startWarm = async (
  sitting: Sitting,
  engine: Engine,
  dataRoot: string,
  { limit, signal }: WarmOptions = {},
): Promise<Daemon> => {
  if (limit !== undefined) limitMemory(sitting.nextCgroup(), limit)
  await dropCaches()
  const daemon = await sitting.start(engine, { dataRoot })
  try {
    await pull(daemon.socket, sitting.smallReference, () => {}, signal)
    await sleep(REST_MS)
  } catch (fault) {
    await daemon[Symbol.asyncDispose]()
    throw fault
  }
  return daemon
}

/** The registry then sends these blobs from memory, whoever asks. */
export const warmRegistry = async (
  { registryHost }: Sitting,
  repository: string,
  digests: readonly string[],
): Promise<void> => {
  for (const digest of digests) {
    const answer = await fetch(`http://${registryHost}/v2/${repository}/blobs/${digest}`)
    for await (const _ of answer.body ?? []) continue
  }
}

/** The image's tars, bytes. */
const tarBytes = async ({ layers }: BuiltImage): Promise<number> => {
  let bytes = 0
  for (const layer of layers) for await (const chunk of uncompressed(layer)) bytes += chunk.length
  return bytes
}

/** What the disk has to write at least: layers extracted by tar(1), and one sync. Bytes. */
const leastWritten = async ({ image, engines, volume }: Sitting): Promise<number> => {
  await using place = await volume(engines[0]!)
  await run("sync", ["--file-system", place.mountPoint])
  const before = sectorsWritten(place)
  for (const { path, diffId } of image.layers) {
    const directory = join(place.mountPoint, diffId)
    mkdirSync(directory)
    await run("tar", ["--extract", "--gzip", "--file", path, "--directory", directory,
      "--numeric-owner", "--xattrs", "--xattrs-include=*"])
  }
  await run("sync", ["--file-system", place.mountPoint])
  return (sectorsWritten(place) - before) * SECTOR
}

/** The rows of this figure, while they grow. */
class Board {
  readonly #time = new Series()
  readonly #durable = new Series()
  readonly #dirty = new Series()
  readonly #processor = new Series()
  readonly #cache = new Series()
  readonly #metadata = new Series()
  readonly #peak = new Series()
  readonly #written = new Series()
  readonly #perByte = new Series()
  readonly #perLeast = new Series()
  readonly #image: { readonly tars: number; readonly least: number }
  /** What this engine may write at most, MB. */
  #allowed = NaN

  constructor(image: { readonly tars: number; readonly least: number }) {
    this.#image = image
  }

  add(name: string, pulled: Pulled): void {
    this.#time.add(name, pulled.ms / 1000)
    this.#durable.add(name, (pulled.ms + pulled.syncMs) / 1000)
    this.#dirty.add(name, pulled.dirty / MB)
    this.#processor.add(name, pulled.processorMs / 1000)
    this.#cache.add(name, pulled.cache / MB)
    this.#metadata.add(name, pulled.metadata / MB)
    this.#peak.add(name, pulled.peakAnonymous / MB)
    this.#written.add(name, pulled.written / MB)
    this.#perByte.add(name, pulled.written / this.#image.tars)
    this.#perLeast.add(name, pulled.written / this.#image.least)
    const { bytes, entries } = pulled.extracted
    if (name === "balena") this.#allowed = (bytes * JOURNAL_SHARE + entries * ENTRY_BYTES) / MB
  }

  rows(): readonly Row[] {
    const allowed = this.#allowed
    return [
      this.#time.row("pull, until the client is told", "s", {
        text: "no slower",
        met: ({ balena = NaN, dockerd = NaN }) => balena <= dockerd,
      }),
      this.#dirty.row("content not yet on the disk then", "MB", atMost(1, "none: under 1 MB")),
      this.#durable.row("pull, until all is on the disk", "s"),
      this.#processor.row("processor time of it", "s"),
      this.#cache.row("page cache grown by it", "MB", atMost(20, "under 20 MB")),
      this.#metadata.row("and by the file system's metadata", "MB"),
      this.#peak.row("anonymous memory at its peak", "MB"),
      this.#written.row("written by it, sectors", "MB",
        atMost(allowed, `du + 1.25 KiB an entry + 0.5 %: ${allowed.toFixed(0)} MB`)),
      this.#perByte.row("the same, of the tars", "per byte"),
      this.#perLeast.row("the same, of what tar and one sync write", "times"),
    ]
  }
}

const measure = async (sitting: Sitting, runs: number): Promise<readonly Row[]> => {
  const tars = await tarBytes(sitting.image)
  const board = new Board({ tars, least: await leastWritten(sitting) })
  for (let n = 0; n < runs; n++) {
    for (const engine of inTurn(sitting.engines, n)) {
      const pulled = await pullOnce(sitting, engine)
      sitting.say(`pull ${n + 1} of ${runs}, ${engine.name}: ${(pulled.ms / 1000).toFixed(2)} s`)
      board.add(engine.name, pulled)
    }
  }
  return board.rows()
}

export const pullFigure: Figure = {
  name: "pull",
  method: `One image of Debian packages (three gzip layers) from docker-registry on loopback, which
sends it from memory. Each pull is by an engine just started, after one of busybox that brings its
programs into memory, onto an ext4 made anew in a file that was written in full before, on a loop
device with direct I/O. Page cache, dirty pages and anonymous memory are those of the memory cgroup
that holds all of the engine's processes. Pages of the device itself are counted apart: they are
ext4's metadata, and what is dirty of them is in its journal by then. Sectors are the device's, up
to the end of a sync that follows the pull. Programs lie on a disk of their own, as only so are
their pages charged to their engine; both disks are read ahead by 128 KiB, the kernel's default.`,
  runs: 5,
  measure,
}
