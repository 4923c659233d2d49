import { basename, dirname } from "node:path/posix"
import * as Effect from "effect/Effect"
import { Anchors } from "../delta/anchors.ts"
import { Encoder } from "../delta/encoder.ts"
import { encodeDelta } from "../delta/own/encode.ts"
import { scanBase } from "../delta/own/scan.ts"
import { EMPTY_LAYER, wrapperHead, wrapperTail } from "../delta/wrapper.ts"
import { Sha256 } from "../kernel/digest.ts"
import { close, makeAt, openAt, openRoot, readAt, sizeOf, writeAt } from "../kernel/files.ts"
import { commonLayers } from "../oci/delta.ts"
import { tidy } from "../kernel/memory.ts"
import { ensureSpace } from "./barrier.ts"
import { BaseImage } from "./base.ts"
import { steadyMs } from "./budget.ts"
import type { EncodedLayer, EncodeJob, EncodeWatch, PullFault } from "./carrier.ts"
import { faultOf } from "./faults.ts"
import { LayerTar } from "./rebuild.ts"

/** For the base's index and its windows: with the rest of the process, less than 1 GiB. */
const MEMORY_BYTES = 900 << 20
const PROGRESS_MS = 100
const CHUNK_BYTES = 1 << 20

const encoding = <A>(work: () => A): Effect.Effect<A, PullFault> =>
  Effect.try({ try: work, catch: (error) => faultOf(error, "the delta") })

const opened = <A extends { readonly close: () => void }>(open: () => A) =>
  Effect.acquireRelease(encoding(open), (one) => Effect.sync(() => one.close()))

/**
 * Makes the layers of a delta image from two images on this disk: a file for each in
 * `job.directory`, which is made. Others have a turn after each piece.
 */
export const encodeLayers = (
  job: EncodeJob,
  watch: EncodeWatch,
): Effect.Effect<readonly EncodedLayer[], PullFault> =>
  Effect.scoped(Effect.gen(function*() {
    const directory = yield* opened(() => openDirectory(job.directory))
    const base = yield* opened(() => new BaseImage(job.base))
    const common = commonLayers(base.diffIds, job.targets.map(({ diffId }) => diffId))
    const encode = common === job.targets.length ? null : yield* encoderOf(job.format, base, watch)
    const made: EncodedLayer[] = []
    for (const [n, target] of job.targets.entries()) {
      const tell = throttled((current, total) => watch.progress(n + 1, current, total))
      const layer = n < common ? null : yield* opened(() => LayerTar.open(target.directory))
      const file = yield* opened(() => new DeltaFile(directory.fd, `${job.directory}/${n}.tar`))
      if (layer !== null && encode !== null) yield* encode(layer, file, tell)
      else yield* encoding(() => file.append(EMPTY_LAYER, 0, EMPTY_LAYER.length))
      made.push(yield* encoding(() => file.finish(layer !== null)))
      watch.progress(n + 1, layer?.size ?? 0, layer?.size ?? 0)
    }
    return made
  }))

type Tell = (current: number, total: number) => Effect.Effect<void>

/** Tells a layer by a base that has been read. */
type Encode = (layer: LayerTar, file: DeltaFile, tell: Tell) => Effect.Effect<void, PullFault>

const encoderOf = (
  format: EncodeJob["format"],
  base: BaseImage,
  watch: EncodeWatch,
): Effect.Effect<Encode, PullFault> =>
  format === "framed"
    ? framed(base, watch)
    : Effect.map(fingerprint(base, watch), (index): Encode => (layer, file, tell) =>
      encodeLayer(layer, index, file, tell))

const framed = (base: BaseImage, watch: EncodeWatch): Effect.Effect<Encode, PullFault> =>
  Effect.gen(function*() {
    watch.progress(0, 0, base.size)
    const scan = yield* promised(() => scanBase(base))
    watch.progress(0, base.size, base.size)
    return (layer, file, tell) =>
      Effect.andThen(
        tell(0, layer.size),
        promised(async (signal) => {
          for await (const frame of encodeDelta(scan, layer, tidy)) {
            signal.throwIfAborted()
            file.append(frame, 0, frame.length)
          }
        }),
      )
  })

const promised = <A>(work: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, PullFault> =>
  Effect.tryPromise({ try: work, catch: (error) => faultOf(error, "the delta") })

const openDirectory = (path: string) => {
  const parent = openRoot(dirname(path))
  try {
    makeAt(parent, basename(path), 0o700)
  } finally {
    close(parent)
  }
  const fd = openRoot(path)
  return { fd, close: () => close(fd) }
}

const fingerprint = (base: BaseImage, watch: EncodeWatch) =>
  Effect.gen(function*() {
    const index = yield* encoding(() => new Anchors(base, MEMORY_BYTES))
    const tell = throttled((current, total) => watch.progress(0, current, total))
    while (yield* encoding(() => index.advance())) {
      yield* tell(index.position, base.size)
      yield* Effect.yieldNow
    }
    watch.progress(0, base.size, base.size)
    return index
  })

const encodeLayer = (
  layer: LayerTar,
  index: Anchors,
  file: DeltaFile,
  tell: (current: number, total: number) => Effect.Effect<void>,
) =>
  Effect.gen(function*() {
    const encoder = new Encoder(index, (bytes, start, end) => file.append(bytes, start, end))
    const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
    for (let at = 0; at < layer.size;) {
      at += yield* encoding(() => {
        const length = layer.read(at, chunk)
        encoder.push(chunk, 0, length)
        return length
      })
      yield* tell(at, layer.size)
      yield* Effect.yieldNow
    }
    yield* encoding(() => encoder.end())
  })

/** People look at it, no more than that. */
const throttled = (tell: (current: number, total: number) => void) => {
  let toldMs = 0
  return (current: number, total: number) =>
    Effect.map(steadyMs, (nowMs) => {
      if (nowMs - toldMs < PROGRESS_MS) return
      toldMs = nowMs
      tell(current, total)
    })
}

/**
 * A delta in its wrapper, whose head is written last: it has the delta's size. It grows only while
 * the disk has more room than is kept in reserve.
 */
class DeltaFile {
  readonly #fd: number
  readonly #path: string
  #size = 0
  /** At which size the room is looked at next. */
  #lookAt = 0

  constructor(directory: number, path: string) {
    this.#path = path
    this.#fd = openAt(directory, basename(path), true)
  }

  /** Appends to the delta; to a file without one, its whole content. */
  append(bytes: Buffer, start: number, end: number): void {
    if (this.#size >= this.#lookAt) {
      ensureSpace(dirname(this.#path))
      this.#lookAt = this.#size + CHUNK_BYTES
    }
    writeAt(this.#fd, bytes, start, end, HEAD_BYTES + this.#size)
    this.#size += end - start
  }

  /** `wrapped`: puts head and tail around it; else what was appended is the layer. */
  finish(wrapped: boolean): EncodedLayer {
    const payload = this.#size
    if (wrapped) {
      const tail = wrapperTail(payload)
      this.append(tail, 0, tail.length)
      writeAt(this.#fd, wrapperHead(payload), 0, HEAD_BYTES, 0)
    }
    const offset = wrapped ? 0 : HEAD_BYTES
    return {
      diffId: this.#digest(offset),
      path: this.#path,
      offset,
      size: sizeOf(this.#fd) - offset,
      payload: wrapped ? payload : 0,
    }
  }

  close(): void {
    close(this.#fd)
  }

  #digest(offset: number): string {
    const hash = new Sha256()
    const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
    for (let at = offset;;) {
      const length = readAt(this.#fd, chunk, at)
      if (length === 0) return `sha256:${hash.digest().toString("hex")}`
      hash.update(chunk, 0, length)
      at += length
    }
  }
}

const HEAD_BYTES = 512
