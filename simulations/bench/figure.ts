import type { Sitting } from "./sitting.ts"

/** How a number is shown. Bytes are counted in millions, as disks and networks are sold. */
export type Unit = "ms" | "s" | "MB" | "per byte" | "times"

/** Whether an aim was met, given each engine's median in the row's unit. */
export interface Aim {
  readonly text: string
  readonly met: (medians: Medians) => boolean
}
export type Medians = Readonly<Record<string, number>>

/** One line of the table: what every engine needed, once per run. Infinity: it did not end. */
export interface Row {
  readonly name: string
  readonly unit: Unit
  readonly samples: Readonly<Record<string, readonly number[]>>
  readonly aim?: Aim
}

/** One thing that is measured, by its own program of runs. */
export interface Figure {
  /** The word that asks for it. */
  readonly name: string
  /** For the reader of the table: what exactly is compared. */
  readonly method: string
  /** Runs where nobody says how many. */
  readonly runs: number
  readonly measure: (sitting: Sitting, runs: number) => Promise<readonly Row[]>
}

/** The middle one; of an even number the mean of the two. NaN of none. */
export const median = (numbers: readonly number[]): number => {
  const sorted = numbers.toSorted((one, other) => one - other)
  const half = sorted.length >> 1
  const upper = sorted[half] ?? NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? NaN) + upper) / 2
}

/** Collects samples by engine; a series is a row that has no name yet. */
export class Series {
  readonly samples: Record<string, number[]> = {}
  add(engine: string, value: number): void {
    (this.samples[engine] ??= []).push(value)
  }
  row(name: string, unit: Unit, aim?: Aim): Row {
    return { name, unit, samples: this.samples, ...(aim && { aim }) }
  }
}

/** At most so much, whatever others need. */
export const atMost = (limit: number, text: string): Aim => ({
  text,
  met: ({ balena = NaN }) => balena <= limit,
})

/** The engines, each time another first. */
export const inTurn = <A>(all: readonly A[], n: number): readonly A[] =>
  n % 2 === 0 ? all : all.toReversed()
