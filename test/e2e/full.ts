import { existsSync } from "node:fs"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, expect } from "vitest"
import { makeVolume } from "../../simulations/powercut/disk.ts"
import { waitFor } from "../../simulations/powercut/scenario.ts"
import { EmbeddedRegistry } from "../../simulations/world/registry.ts"
import { BALLAST_BYTES } from "../../src/kernel/ballast.ts"
import { call } from "../api/tools.ts"
import { type Corner, type Engine, openCorner } from "./engine.ts"
import { type Filler, fillerIn, takenBy } from "./filler.ts"
import { type Belongings, belongings, clearOut, expectIntact, furnish } from "./intact.ts"
import { errorIn, pull } from "./pulling.ts"

/** A small disk of its own, with a data root on it and an engine that has something to lose. */
export interface FullDisk {
  readonly corner: Corner
  readonly dataRoot: string
  readonly engine: Engine
  /** What it has when a test begins, and when it ends. */
  before: Belongings
  readonly filler: Filler
  readonly registry: EmbeddedRegistry
  readonly hasBallast: () => boolean
  readonly start: () => Promise<Engine>
  /** What was there is there, under a daemon that was started after it. */
  readonly heldBy: (next: Engine) => void
  /** Fills the disk, but for what the engine holds in reserve; it may be at work. */
  readonly fill: () => void
  /** Fills the disk and all that the engine holds in reserve. */
  readonly starve: () => Promise<void>
  /** It hears and answers, and every byte of what it shows is right. */
  readonly answers: () => Promise<void>
  /** The same pull, now that there is room: nothing has been spoilt. */
  readonly worksNow: (reference: string) => Promise<void>
}

/**
 * A disk that is full in every test of a suite. After each the room is there again, and not a block
 * is taken that was not before. `more`: what else the engine is to have.
 */
export const fullDisk = (
  mebibytes: number,
  more: (disk: FullDisk) => Promise<unknown> = () => Promise.resolve(),
): FullDisk => {
  const disk = { hasBallast, start, heldBy, fill, starve, answers, worksNow } as {
    -readonly [Key in keyof FullDisk]: FullDisk[Key]
  }
  let taken: number

  beforeAll(async () => {
    disk.corner = await openCorner()
    const { mountPoint } = await makeVolume(disk.corner.root, "disk", mebibytes)
    disk.dataRoot = join(mountPoint, "data")
    disk.filler = fillerIn(join(mountPoint, "filler"))
    disk.registry = await EmbeddedRegistry.start()
    disk.engine = await start()
    await furnish(disk.engine)
    await more(disk)
    disk.before = await belongings(disk.engine)
    taken = takenBy(disk.dataRoot)
  })
  afterEach(async () => {
    disk.filler.drop()
    disk.registry.heal()
    await expectIntact(disk.corner, disk.before)
    const now = () => takenBy(disk.dataRoot)
    await waitFor("what was taken", async () => now() === taken, now)
    await disk.engine.done(["tag", "busybox:1.29", "room"]) // there is some: it says so at rest
    await disk.engine.done(["rmi", "room"])
    await waitFor("the ballast", async () => hasBallast())
  })
  afterAll(async () => {
    await clearOut(disk.engine)
    expect(await disk.engine.stop()).toBe(0)
    await disk.registry.close()
    await disk.corner[Symbol.asyncDispose]()
  })

  function hasBallast(): boolean {
    return existsSync(join(disk.dataRoot, "ballast"))
  }
  function start(): Promise<Engine> {
    return disk.corner.start({ name: "full", dataRoot: disk.dataRoot })
  }
  function heldBy(next: Engine): void {
    disk.engine = next
    disk.before = { ...disk.before, engine: next, pid: next.pid }
  }
  function fill(): void {
    disk.filler.leave(0)
    // Given up in the meantime, it may have been taken as well; without it there is only waiting.
    if (!hasBallast()) disk.filler.giveBack(BALLAST_BYTES)
  }
  async function starve(): Promise<void> {
    disk.filler.leave(0)
    for (let code = 0; code === 0; disk.filler.leave(0)) {
      code = (await disk.engine.docker(["tag", "busybox:1.29", "starved"])).code
    }
    expect(hasBallast()).toBe(false)
  }
  async function answers(): Promise<void> {
    const { socket } = disk.engine.place
    expect((await call(socket, "GET", "/_ping")).text).toBe("OK")
    expect((await call(socket, "GET", "/debug/machines?format=text")).text).toMatch(/running\.up/)
    expect(await belongings(disk.engine)).toEqual(disk.before)
  }
  async function worksNow(reference: string): Promise<void> {
    expect(errorIn(await pull(disk.engine, reference))).toBeNull()
    await disk.engine.done(["rmi", reference])
  }
  return disk
}
