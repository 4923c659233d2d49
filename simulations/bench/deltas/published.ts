import type { CaseName } from "../../images/delta-cases.ts"

/** What one piece of work took of the real balenaEngine. */
export interface Took {
  /** By the clock, and of the processor. */
  readonly s: number
  readonly cpuS: number
  /** Resident memory of the daemon alone at its highest (VmHWM), MB. */
  readonly mb: number
}

/** What was measured once with it. */
export interface Published {
  /** Compressed layers that an ordinary pull fetches, and those of its delta. */
  readonly layerBytes: number
  readonly deltaBytes: number
  readonly make: Took
  readonly pullDelta: Took
  readonly pullLayers: Took
}

/**
 * balenaEngine v20.10.44, from its own deltas of these cases (built apart from those here) on
 * another two-core machine, first of three runs: to be compared as ratios only.
 */
export const BALENA_ENGINE: Readonly<Record<CaseName, Published>> = {
  a: {
    layerBytes: 49_532_370, deltaBytes: 520_492,
    make: { s: 5.4, cpuS: 5.0, mb: 155 },
    pullDelta: { s: 1.9, cpuS: 1.5, mb: 87 },
    pullLayers: { s: 1.6, cpuS: 1.3, mb: 63 },
  },
  b: {
    layerBytes: 21_789_544, deltaBytes: 1_784_953,
    make: { s: 12.7, cpuS: 10.9, mb: 173 },
    pullDelta: { s: 5.3, cpuS: 3.6, mb: 140 },
    pullLayers: { s: 2.4, cpuS: 2.0, mb: 69 },
  },
  b2: {
    layerBytes: 21_657_979, deltaBytes: 1_785_431,
    make: { s: 11.5, cpuS: 10.5, mb: 204 },
    pullDelta: { s: 4.7, cpuS: 3.7, mb: 137 },
    pullLayers: { s: 3.4, cpuS: 2.0, mb: 70 },
  },
  b3: {
    layerBytes: 21_609_847, deltaBytes: 457_549,
    make: { s: 11.3, cpuS: 8.6, mb: 201 },
    pullDelta: { s: 5.0, cpuS: 3.2, mb: 137 },
    pullLayers: { s: 2.9, cpuS: 1.9, mb: 67 },
  },
  c: {
    layerBytes: 14_712_941, deltaBytes: 9_028_084,
    make: { s: 6.3, cpuS: 5.3, mb: 123 },
    pullDelta: { s: 1.9, cpuS: 1.5, mb: 99 },
    pullLayers: { s: 1.1, cpuS: 0.9, mb: 65 },
  },
}

/**
 * How many times smaller than layers, as balenaEngine was announced in 2017 ("Announcing balena: a
 * Moby-based container engine for IoT"): an apt package more, a patch release of ghost (1.12.0 to
 * 1.12.1, which npm no longer has), node 6 to 4.
 */
export const ANNOUNCED: Readonly<Partial<Record<CaseName, number>>> = { a: 71.6, b: 16.9, c: 7.5 }

/** How many of the real delta's bytes ours are to have at most. */
export const AIMS: Readonly<Record<CaseName, Readonly<Record<"v3" | "own", number>> | null>> = {
  a: { v3: 0.87, own: 0.76 },
  b: { v3: 0.59, own: 0.26 },
  b2: null,
  b3: { v3: 0.33, own: 0.09 },
  c: { v3: 0.68, own: 0.5 },
}
