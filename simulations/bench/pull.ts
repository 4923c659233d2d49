import { join } from "node:path"
import { run } from "../images/command.ts"
import { uncompressed } from "../images/layer.ts"
import type { BuiltImage } from "../images/image.ts"
import { sectorsWritten } from "../powercut/disk.ts"
import { pull } from "./engines/docker.ts"
import type { Engine } from "./engines/engine.ts"
import { atMost, inTurn, Series, type Figure, type Row } from "./figure.ts"
import { chargedTo, dropCaches, limitMemory } from "./gauges.ts"
import type { Sitting } from "./sitting.ts"
import { extractedIn, type Extent } from "./tree.ts"

const MB = 1e6
const SECTOR = 512
const SAMPLE_MS = 50
/** What a file system needs beside the content of a tree, for each entry and for the journal. */
const ENTRY_BYTES = 1.25 * 1024
const JOURNAL_SHARE = 1.005

/** What one pull, on an empty disk and by an engine just started, took. Bytes, milliseconds. */
interface Pulled {
  readonly ms: number
  /** Still to be written when the client was told of the end, and how long that then took. */
  readonly dirty: number
  readonly syncMs: number
  /** Pages of files that it was charged for and kept. */
  readonly cache: number
  readonly peakAnonymous: number
  /** To the disk, up to the end of the sync. */
  readonly written: number
  readonly extracted: Extent
}

/** Pulls the sitting's image with a fresh engine; `limit` is for all its processes together. */
export const pullOnce = async (
  sitting: Sitting,
  engine: Engine,
  options: { readonly limit?: number; readonly signal?: AbortSignal } = {},
): Promise<Pulled> => {
  if (options.limit !== undefined) limitMemory(sitting.nextCgroup(), options.limit)
  await using volume = await sitting.volume(engine)
  const dataRoot = join(volume.mountPoint, "data")
  await using daemon = await sitting.start(engine, { dataRoot })
  await warm(sitting)
  const { cgroup } = daemon.machine
  const before = chargedTo(cgroup)
  const sectors = sectorsWritten(volume)
  let peakAnonymous = 0
  const sampler = setInterval(() => {
    peakAnonymous = Math.max(peakAnonymous, chargedTo(cgroup).anonymous)
  }, SAMPLE_MS)
  const began = performance.now()
  try {
    await pull(daemon.socket, sitting.reference, () => {}, options.signal)
  } finally {
    clearInterval(sampler)
  }
  const ended = performance.now()
  const after = chargedTo(cgroup)
  await run("sync", ["--file-system", volume.mountPoint])
  const syncMs = performance.now() - ended
  const written = (sectorsWritten(volume) - sectors) * SECTOR
  const extracted = extractedIn(dataRoot)
  await daemon.stop()
  return {
    ms: ended - began,
    dirty: after.dirty - before.dirty,
    syncMs,
    cache: after.cache - before.cache,
    peakAnonymous,
    written,
    extracted,
  }
}

/** Empties the machine's page cache of all but the blobs, which the registry sends from memory. */
const warm = async ({ image, registryHost }: Sitting): Promise<void> => {
  await dropCaches()
  for (const { digest } of image.layers) {
    const answer = await fetch(`http://${registryHost}/v2/bench/debian/blobs/${digest}`)
    for await (const _ of answer.body ?? []) continue
  }
}

/** The image's tars, bytes. */
const tarBytes = async ({ layers }: BuiltImage): Promise<number> => {
  let bytes = 0
  for (const layer of layers) for await (const chunk of uncompressed(layer)) bytes += chunk.length
  return bytes
}

const measure = async (sitting: Sitting, runs: number): Promise<readonly Row[]> => {
  const time = new Series()
  const dirty = new Series()
  const durable = new Series()
  const cache = new Series()
  const peak = new Series()
  const written = new Series()
  const perByte = new Series()
  const tars = await tarBytes(sitting.image)
  let allowed = NaN
  for (let n = 0; n < runs; n++) {
    for (const engine of inTurn(sitting.engines, n)) {
      const { name } = engine
      const pulled = await pullOnce(sitting, engine)
      sitting.say(`pull ${n + 1}, ${name}: ${(pulled.ms / 1000).toFixed(2)} s`)
      time.add(name, pulled.ms / 1000)
      dirty.add(name, pulled.dirty / MB)
      durable.add(name, (pulled.ms + pulled.syncMs) / 1000)
      cache.add(name, pulled.cache / MB)
      peak.add(name, pulled.peakAnonymous / MB)
      written.add(name, pulled.written / MB)
      perByte.add(name, pulled.written / tars)
      const { bytes, entries } = pulled.extracted
      if (name === "balena") allowed = (bytes * JOURNAL_SHARE + entries * ENTRY_BYTES) / MB
    }
  }
  return [
    time.row("pull, until the client is told", "s", {
      text: "no slower",
      met: ({ balena = NaN, dockerd = NaN }) => balena <= dockerd,
    }),
    dirty.row("still to be written then", "MB", atMost(1, "durable: under 1 MB")),
    durable.row("pull, until all is on the disk", "s"),
    cache.row("page cache grown by it", "MB", atMost(20, "under 20 MB")),
    peak.row("anonymous memory at its peak", "MB"),
    written.row("written by it, sectors", "MB",
      atMost(allowed, `du + 1.25 KiB an entry + 0.5 %: ${allowed.toFixed(0)} MB`)),
    perByte.row("written by it, of the tars", "per byte"),
  ]
}

export const pullFigure: Figure = {
  name: "pull",
  method: `One image of Debian packages (three gzip layers), from docker-registry on loopback, whose
blobs are in memory by then; all other caches are dropped. Each pull is the first of an engine just
started, on an ext4 made anew in a file that was written in full before, on a loop device with
direct I/O. Page cache, dirty pages and anonymous memory are those of the memory cgroup that holds
all of the engine's processes; sectors are the loop device's, up to the end of a sync that follows.`,
  runs: 5,
  measure,
}
