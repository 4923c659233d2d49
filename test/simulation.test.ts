import { expect, test } from "vitest"
import { attrition } from "../simulations/scenarios/attrition.ts"
import type { Broken } from "../simulations/world/disk.ts"

const FAULTS_A_SEED = 100

/** Runs seeds until a violation, or until so many faults found none. */
const firstViolation = (faultsMost: number, broken: Broken): string | undefined => {
  for (let seed = 1, faults = 0; faults < faultsMost; seed++) {
    try {
      faults += attrition(seed, FAULTS_A_SEED, broken).faults
    } catch (violation) {
      return `seed ${seed}: ${String(violation)}`
    }
  }
  return undefined
}

test("a thousand faults, no violation", () => {
  expect(firstViolation(1_000, {})).toBeUndefined()
})

test("the same seed plays the same world", () => {
  expect(attrition(7, FAULTS_A_SEED)).toEqual(attrition(7, FAULTS_A_SEED))
})

test("acting before the sync is noticed", () => {
  expect(firstViolation(1_000, { eagerSync: true })).toContain("before it was durable")
})

test("a skipped barrier is noticed", () => {
  // What was promised is not there; or a fetch goes on from it, and never ends.
  const seen = /checkpoint|not whole|still waits for layer.fetch/
  expect(firstViolation(1_000, { noBarrier: true })).toMatch(seen)
})

test("a lost lease is noticed", () => {
  expect(firstViolation(1_000, { noLease: true })).toMatch(/ready|layers|FOREIGN KEY/i)
})
