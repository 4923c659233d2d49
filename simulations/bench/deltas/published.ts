import type { CaseName } from "../../images/delta-cases.ts"

/** What was measured once with the real balenaEngine; bytes, seconds. */
export interface Published {
  /** Compressed layers that an ordinary pull fetches, and those of its delta. */
  readonly layerBytes: number
  readonly deltaBytes: number
  readonly createS: number
  readonly applyS: number
  readonly ordinaryS: number
  /** Resident memory of the daemon alone at its highest (VmHWM), MB. */
  readonly createMb: number
  readonly applyMb: number
  readonly ordinaryMb: number
}

/**
 * balenaEngine v20.10.44, from its own deltas of these cases (built apart from those here) on
 * another two-core machine, first of three runs: to be compared as ratios only.
 */
export const BALENA_ENGINE: Readonly<Record<CaseName, Published>> = {
  a: {
    layerBytes: 49_532_370, deltaBytes: 520_492,
    createS: 5.4, applyS: 1.9, ordinaryS: 1.6, createMb: 155, applyMb: 87, ordinaryMb: 63,
  },
  b: {
    layerBytes: 21_789_544, deltaBytes: 1_784_953,
    createS: 12.7, applyS: 5.3, ordinaryS: 2.4, createMb: 173, applyMb: 140, ordinaryMb: 69,
  },
  b2: {
    layerBytes: 21_657_979, deltaBytes: 1_785_431,
    createS: 11.5, applyS: 4.7, ordinaryS: 3.4, createMb: 204, applyMb: 137, ordinaryMb: 70,
  },
  b3: {
    layerBytes: 21_609_847, deltaBytes: 457_549,
    createS: 11.3, applyS: 5.0, ordinaryS: 2.9, createMb: 201, applyMb: 137, ordinaryMb: 67,
  },
  c: {
    layerBytes: 14_712_941, deltaBytes: 9_028_084,
    createS: 6.3, applyS: 1.9, ordinaryS: 1.1, createMb: 123, applyMb: 99, ordinaryMb: 65,
  },
}

/**
 * How many times smaller than layers, as balenaEngine was announced in 2017 ("Announcing balena: a
 * Moby-based container engine for IoT"): an apt package more, a patch release of ghost (1.12.0 to
 * 1.12.1, which npm no longer has), node 6 to 4.
 */
export const ANNOUNCED: Readonly<Partial<Record<CaseName, number>>> = { a: 71.6, b: 16.9, c: 7.5 }
