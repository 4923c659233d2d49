import type { Screen } from "./screen.ts"
import type { Fate, Stage } from "./stage.ts"

/** The story as it is being told. */
export interface Telling {
  readonly stage: Stage
  readonly screen: Screen
  readonly facts: Facts
  /** Whoever watches has had enough. */
  readonly signal: AbortSignal
}

/** What the story came to; sizes are bytes that have passed the link. */
export interface Facts {
  v1Bytes: number
  v1Ms: number
  /** How fast the bad link is, bytes a second. */
  rate: number
  /** Of v2: what had come when the power failed, and what came after that. */
  before: number
  after: number
  /** How much had passed the link, and how often the registry had been asked, at the cut. */
  cutAtBytes: number
  cutAtRequest: number
  /** What had become of each layer that was on its way. */
  fates: readonly Fate[]
  /** From the power's return to the engine's first answer, to v1 running, to v2 being whole. */
  startMs: number
  againMs: number
  wholeMs: number
  /** Of v2 as a delta. */
  deltaBytes: number
  deltaMs: number
}

export const noFacts = (): Facts => ({
  v1Bytes: 0,
  v1Ms: 0,
  rate: 0,
  before: 0,
  after: 0,
  cutAtBytes: 0,
  cutAtRequest: 0,
  fates: [],
  startMs: 0,
  againMs: 0,
  wholeMs: 0,
  deltaBytes: 0,
  deltaMs: 0,
})

/** Begins a new step, unless nobody wants to see it. */
export const step = ({ screen, signal }: Telling, text: string): void => {
  signal.throwIfAborted()
  screen.step(text)
}
