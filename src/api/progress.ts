import type { Address } from "../../machines/words.ts"
import type { Loaded } from "../engine/requests/load.ts"
import type { LayerNews, Pulled, PullNews } from "../engine/requests/pull.ts"
import { familiarReference, parseReference, type Reference } from "../oci/reference.ts"
import * as Result from "effect/Result"

export type Line = Readonly<Record<string, unknown>>

/** A bar moves at most this often, and the total only by so much: device links are narrow. */
const STEP_SHARE = 0.01
const STEP_BYTES = 512 * 1024
export const stepOf = (total: number): number => Math.min(total * STEP_SHARE, STEP_BYTES)

export const shortOf = (digest: string): string => digest.replace("sha256:", "").slice(0, 12)

const units = ["B", "kB", "MB", "GB", "TB"]

/** A size as Docker shows it: four digits, powers of a thousand. */
export const humanSize = (bytes: number): string => {
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${Number(value.toPrecision(4))}${units[unit]}`
}

/** Docker's bar, 50 wide, for clients that print it as it comes. */
const bar = (current: number, total: number): string => {
  if (total <= 0) return humanSize(current)
  const filled = Math.min(50, Math.floor((current / total) * 50))
  const head = filled === 50 ? "" : ">"
  const line = `${"=".repeat(filled)}${head}`.padEnd(50)
  return `[${line}]  ${humanSize(current)}/${humanSize(total)}`
}

export const moving = (status: string, id: string, current: number, total: number): Line => ({
  status,
  progressDetail: { current, total },
  progress: bar(current, total),
  id,
})

export const retryLine = ({ afterMs }: { readonly afterMs: number }, id: string): Line => {
  const seconds = Math.max(1, Math.round(afterMs / 1000))
  const noun = seconds === 1 ? "second" : "seconds"
  return { status: `Retrying in ${seconds} ${noun}`, progressDetail: {}, id }
}

interface Bar {
  readonly id: string
  size: number
  current: number
  shown: number
  extracting: boolean
}

/**
 * What balenaEngine's clients read while an image is pulled: Docker's lines for each layer, without
 * its separate download phase as layers are extracted while they come, and one bar for the whole
 * under the id `Total` (supervisors show only that).
 */
export class PullLines {
  readonly #reference: Reference
  readonly #bars = new Map<Address, Bar>()
  #total = { current: 0, size: 0, shown: 0 }
  #headed = false

  constructor(reference: Reference) {
    this.#reference = reference
  }

  news(news: PullNews): readonly Line[] {
    if (news.kind === "named") {
      return news.retry === null ? this.#head() : [retryLine(news.retry, this.#tag)]
    }
    if (news.kind === "delta") {
      const status = `Pulling a delta of ${humanSize(news.bytes)} against ${shortOf(news.base)}`
      return [...this.#head(), { status }]
    }
    if (news.kind === "layers") return this.#begin(news.layers)
    if (news.kind === "ready") return this.#ready(news.layer, news.existed)
    const { of, current, total, retry } = news.progress
    const bar = this.#bars.get(of)
    if (bar === undefined) return []
    if (retry === null) this.#resize(bar, total)
    return retry === null ? this.#move(bar, current) : [retryLine(retry, bar.id)]
  }

  end({ digest, present }: Pulled): readonly Line[] {
    const name = familiarReference(this.#reference)
    const status = present
      ? `Image is up to date for ${name}`
      : `Downloaded newer image for ${name}`
    return [...this.#head(), { status: `Digest: ${digest}` }, { status: `Status: ${status}` }]
  }

  get #tag(): string {
    return this.#reference.digest ?? this.#reference.tag ?? ""
  }

  /** The first line, once; as Docker's it names no host. */
  #head(): readonly Line[] {
    if (this.#headed) return []
    this.#headed = true
    return [{ status: `Pulling from ${this.#reference.path}`, id: this.#tag }]
  }

  #begin(layers: readonly LayerNews[]): readonly Line[] {
    const lines: Line[] = [...this.#head()]
    for (const { address, digest, size } of layers) {
      if (this.#bars.has(address)) continue
      const id = shortOf(digest)
      this.#bars.set(address, { id, size, current: 0, shown: 0, extracting: false })
      lines.push({ status: "Pulling fs layer", progressDetail: {}, id })
    }
    this.#total.size = [...this.#bars.values()].reduce((sum, { size }) => sum + size, 0)
    return lines
  }

  /** A delta was given up for the layer itself. */
  #resize(bar: Bar, size: number): void {
    if (size <= bar.size) return
    this.#total.size += size - bar.size
    bar.size = size
  }

  #move(bar: Bar, current: number): readonly Line[] {
    const lines: Line[] = []
    if (!bar.extracting) lines.push({ status: "Ready to download", progressDetail: {}, id: bar.id })
    const first = !bar.extracting
    bar.extracting = true
    this.#total.current += Math.max(0, current - bar.current)
    bar.current = current
    if (first || current - bar.shown >= stepOf(bar.size) || current === bar.size) {
      bar.shown = current
      lines.push(moving("Extracting", bar.id, current, bar.size))
    }
    return [...lines, ...this.#showTotal()]
  }

  #ready(layer: Address, existed: boolean): readonly Line[] {
    const bar = this.#bars.get(layer)
    if (bar === undefined) return []
    if (existed) this.#total.size -= bar.size // only what is fetched counts
    else this.#total.current += bar.size - bar.current
    bar.current = bar.size
    const status = existed ? "Already exists" : "Pull complete"
    return [...this.#showTotal(), { status, progressDetail: {}, id: bar.id }]
  }

  #showTotal(): readonly Line[] {
    const { current, size, shown } = this.#total
    if (size <= 0 || current === shown) return []
    if (current - shown < stepOf(size) && current !== size) return []
    this.#total.shown = current
    return [moving("", "Total", current, size)]
  }
}

/** What Docker says while an archive is loaded. */
export const loadLines = (quiet: boolean) => ({
  news: (news: PullNews): readonly Line[] => {
    if (quiet || news.kind !== "progress") return []
    const { of, current, total } = news.progress
    return [moving("Loading layer", shortOf(of.slice("layer/".length)), current, total)]
  },
  end: (loaded: readonly Loaded[]): readonly Line[] =>
    loaded.flatMap(({ imageId, tags }) =>
      tags.length === 0
        ? [{ stream: `Loaded image ID: ${imageId}\n` }]
        : tags.map((tag) => ({
          stream: `Loaded image: ${familiarReference(Result.getOrThrow(parseReference(tag)))}\n`,
        }))
    ),
})
