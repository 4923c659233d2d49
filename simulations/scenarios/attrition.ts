import { checkRest, checkSafety } from "../checkers/device.ts"
import { Fleet, noPromises } from "../workloads/fleet.ts"
import { Device } from "../world/device.ts"
import type { Broken } from "../world/disk.ts"
import { Time } from "../world/time.ts"

/** What one seed came to. */
export interface Run {
  readonly faults: number
  readonly cuts: number
  readonly kills: number
  readonly answered: number
  readonly steps: number
}

/**
 * Steps of an idle engine until it must stand still, in simulated time: back-offs end at a minute.
 */
const HEALING_MS = 40 * 60 * 1000
const BOOT_STEPS = 20_000

/**
 * One world under attrition: clients ask for everything, the engine is killed and the power cut at
 * random instants, registries, disks and kernels misbehave, the wall clock jumps. Every few faults
 * the world heals, and must come to rest with nothing left over. Throws the first violation.
 */
export const attrition = (seed: number, faultsMost: number, broken: Broken = {}): Run => {
  const time = new Time(seed)
  const device = new Device(time, broken)
  const promises = noPromises()
  const fleet = new Fleet(device, promises)
  const run = { faults: 0, cuts: 0, kills: 0, steps: 0 }
  device.start()
  awaitUp(device)
  while (run.faults + device.weather.injected < faultsMost) {
    storm(device)
    for (let round = time.between(1, 8); round > 0; round--) {
      fill(device)
      for (let requests = time.between(0, 5); requests > 0; requests--) fleet.act()
      time.run(time.between(1, 300))
      checkSafety(device, promises)
      if (misfortune(device, run)) checkSafety(device, promises)
    }
    heal(device)
    checkSafety(device, promises)
    checkRest(device)
  }
  return {
    ...run,
    faults: run.faults + device.weather.injected,
    answered: promises.answered,
    steps: time.steps,
  }
}

const storm = ({ weather, time }: Device): void => {
  weather.flaky = time.random() * 0.2
  weather.broken = time.random() * 0.02
  weather.stubborn = time.random() * 0.1
}

/** Somebody else fills the disk, and somebody makes room again. */
const fill = ({ time, database }: Device): void => {
  if (database.room === Infinity) {
    if (time.chance(0.1)) database.room = time.between(0, 30)
  } else if (time.chance(0.5)) database.room = Infinity
}

/** Mostly something happens: answers whether it did. */
const misfortune = (
  device: Device, run: { faults: number; cuts: number; kills: number },
): boolean => {
  const { time } = device
  const dice = time.random()
  if (dice > 0.7) return false
  run.faults++
  if (dice < 0.3) {
    run.cuts++
    device.cut()
  } else if (dice < 0.6) {
    run.kills++
    device.kill()
  } else {
    time.wallSkewMs += time.between(-100_000_000, 100_000_000)
    return true
  }
  device.start()
  if (time.chance(0.7)) awaitUp(device) // else the next one comes before it is up
  return true
}

const awaitUp = (device: Device): void => {
  for (let left = BOOT_STEPS; left > 0 && !device.isUp; left--) {
    if (!device.time.run(1)) break
  }
}

const heal = (device: Device): void => {
  const { weather, time, database } = device
  database.room = Infinity
  weather.flaky = 0
  weather.broken = 0
  weather.stubborn = 0
  awaitUp(device)
  const until = time.monoMs + HEALING_MS
  while (time.run(10_000, until)) {
    if (device.violation !== undefined) throw device.violation
  }
}
