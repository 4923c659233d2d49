import { existsSync } from "node:fs"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { openCopy } from "../../simulations/powercut/audit.ts"
import { makeVolume } from "../../simulations/powercut/disk.ts"
import { waitFor } from "../../simulations/powercut/scenario.ts"
import type { LayerMake } from "../../simulations/world/image-maker.ts"
import { EmbeddedRegistry } from "../../simulations/world/registry.ts"
import { call } from "../api/tools.ts"
import { noise, tarball } from "../layers/tarballs.ts"
import { BUSYBOX_ARCHIVE, type Corner, type Engine, openCorner, whyNoEngine } from "./engine.ts"
import { type Filler, fillerIn, freeOf, takenBy } from "./filler.ts"
import { type Belongings, belongings, clearOut, expectIntact, furnish } from "./intact.ts"
import { beginPull, errorIn, type Line, pull, putApp, someLayers } from "./pulling.ts"

const MIB = 2 ** 20
const DISK_MIB = 160
/** As `Error response from daemon`, and not as a conflict with what is in use. */
const NO_ROOM = /daemon: no space left on device: the engine cannot write down what it is asked to /

/** They compress to next to nothing, and are unpacked to all they are. */
const ZEROS = Buffer.alloc(80 * MIB)

/** A layer that takes as much room as its blob. */
const plain = (mebibytes: number): LayerMake => ({
  tar: tarball({ path: "plain", content: noise(mebibytes * MIB, mebibytes) }),
  compression: "none",
})

describe.skipIf(whyNoEngine() !== null)("on a disk that is full", () => {
  let corner: Corner
  let dataRoot: string
  let engine: Engine
  let before: Belongings
  let taken: number
  let filler: Filler
  let registry: EmbeddedRegistry
  const start = () => corner.start({ name: "full", dataRoot })
  /** What was there is there, under a daemon that was started after it. */
  const heldBy = (next: Engine) => {
    engine = next
    before = { ...before, engine, pid: engine.pid }
  }
  const hasBallast = () => existsSync(join(dataRoot, "ballast"))

  beforeAll(async () => {
    corner = await openCorner()
    const { mountPoint } = await makeVolume(corner.root, "disk", DISK_MIB)
    dataRoot = join(mountPoint, "data")
    filler = fillerIn(join(mountPoint, "filler"))
    registry = await EmbeddedRegistry.start()
    engine = await start()
    await furnish(engine)
    before = await belongings(engine)
    taken = takenBy(dataRoot)
  })
  afterEach(async () => {
    filler.drop()
    registry.heal()
    await expectIntact(corner, before)
    const now = () => takenBy(dataRoot)
    await waitFor("what was taken", async () => now() === taken, now)
    await engine.done(["tag", "busybox:1.29", "room"]) // there is some, and it says so at rest
    await engine.done(["rmi", "room"])
    await waitFor("the ballast", async () => hasBallast())
  })
  afterAll(async () => {
    await clearOut(engine)
    expect(await engine.stop()).toBe(0)
    await registry.close()
    await corner[Symbol.asyncDispose]()
  })

  /** The same pull, now that there is room: nothing has been spoilt. */
  const worksNow = async (reference: string): Promise<void> => {
    expect(errorIn(await pull(engine, reference))).toBeNull()
    await engine.done(["rmi", reference])
  }
  /** It hears and answers, and every byte of what it shows is right. */
  const answers = async (): Promise<void> => {
    const { socket } = engine.place
    expect((await call(socket, "GET", "/_ping")).text).toBe("OK")
    expect((await call(socket, "GET", "/debug/machines?format=text")).text).toMatch(/running\.up/)
    expect(await belongings(engine)).toEqual(before)
  }

  describe("a pull", () => {
    interface Case {
      readonly layers: () => readonly LayerMake[]
      /** Bytes left before it; 0: none, once it unpacks. */
      readonly leave: number
      readonly says: RegExp
      /** What its registry may have sent. */
      readonly sent: (bytes: number) => boolean
    }
    const CASES: readonly (readonly [string, Case])[] = [
      ["that cannot fit by what its registry says is not begun", {
        layers: () => [plain(20)],
        leave: 40 * MIB,
        says: /^the disk is nearly full: at least 20 MiB are needed, 3\d MiB free, .*; remove imag/,
        sent: (bytes) => bytes < 1_000, // its configuration
      }],
      ["of much more than its blobs say ends", {
        layers: () => [
          ...someLayers(300_000),
          { tar: tarball({ path: "zeros", content: ZEROS }), compression: "gzip" },
        ],
        leave: 60 * MIB,
        says: /no space left on device|^the disk is nearly full: /,
        sent: (bytes) => bytes > 300_000,
      }],
      ["whose room others take meanwhile ends", {
        layers: () => [...someLayers(300_000), plain(24)],
        leave: 0,
        says: /^the layer's entry \S+: no space left on device; remove images or /,
        sent: (bytes) => bytes > 300_000,
      }],
    ]
    test.each(CASES)("%s, says so, and leaves nothing", async (_, row) => {
      const { layers, leave, says, sent } = row
      const reference = `${registry.host}/app:1`
      const spare = `${registry.host}/spare:1`
      await engine.done(["tag", "busybox:1.29", spare])
      const [last] = putApp(registry, layers()).layers.slice(-1)
      const misdeed = { do: "slow", bytesPerS: 16 * MIB } as const
      registry.inject({ on: "blob", name: last!.digest, misdeed })
      let toFill = leave === 0
      if (!toFill) filler.leave(leave)
      const began = registry.bytesSent()
      const lines: Line[] = []
      for await (const line of await beginPull(engine, reference)) {
        lines.push(line)
        if (!toFill || line.status !== "Extracting") continue
        filler.leave(0)
        toFill = false
      }
      const { error, errorDetail } = lines.at(-1)!
      expect(error).toMatch(says)
      expect(errorDetail).toEqual({ message: error })
      expect(registry.bytesSent() - began).toSatisfy(sent)
      await answers()
      await expectIntact(corner, before)
      await engine.done(["rmi", spare])
      filler.drop()
      registry.heal()
      await worksNow(reference)
    })

    test("of more files than the disk may have ends, says so, and leaves nothing", async () => {
      const files = Array.from({ length: 4_000 }, (_, n) => ({ path: `some/${n}` }))
      putApp(registry, [{ tar: tarball(...files), compression: "gzip" }])
      const reference = `${registry.host}/app:1`
      const refused = async () => errorIn(await pull(engine, reference))
      filler.leaveFiles(3_000)
      expect(await refused()).toMatch(/^the layer's entry some\/\d+: no space left on device; rem/)
      await expectIntact(corner, before)
      filler.leaveFiles(100)
      expect(await refused()).toMatch(/^the disk is nearly full: 100 of \d+ inodes free, 2 % are/)
      await answers()
      filler.drop()
      await worksNow(reference)
    })
  })

  describe("what is to be written down", () => {
    const run = (name: string) =>
      ["run", "--detach", "--name", name, "--network", "none", "busybox:1.29", "sleep", "1000000"]
    /** Fills the disk and all that the engine holds in reserve. */
    const starve = async (): Promise<void> => {
      filler.leave(0)
      for (let code = 0; code === 0; filler.leave(0)) {
        code = (await engine.docker(["tag", "busybox:1.29", "starved"])).code
      }
      expect(hasBallast()).toBe(false)
    }
    const stopped = async (): Promise<void> => {
      expect(await engine.stop()).toBe(0)
      const database = openCopy(dataRoot, join(corner.root, "integrity"))!
      expect(database.pragma("integrity_check", { simple: true })).toBe("ok")
      expect(database.pragma("foreign_key_check")).toEqual([])
      database.close()
    }

    test("has the ballast to make room with", async () => {
      const reference = `${registry.host}/app:1`
      putApp(registry, [plain(24)])
      await engine.done(["pull", reference])
      await engine.done(run("passing"))
      filler.leave(0)
      expect(hasBallast()).toBe(true)
      await engine.done(["rm", "--force", "passing"])
      expect(hasBallast()).toBe(false)
      expect(engine.log()).toContain("its ballast is given up")
      await engine.done(["rmi", reference])
      await waitFor("its room", async () => freeOf(dataRoot) > 20 * MIB, () => freeOf(dataRoot))
      await engine.done(["tag", "busybox:1.29", "again"])
      await engine.done(["rmi", "again"])
    })

    test("is refused without it, and nothing is lost or done by halves", async () => {
      const reference = `${registry.host}/app:1`
      putApp(registry)
      for (const name of ["passing", "victim"]) await engine.done(run(name))
      await engine.done(["create", "--name", "idle", "--network", "none", "busybox:1.29", "true"])
      const pid = await engine.done(["inspect", "--format", "{{.State.Pid}}", "victim"])
      before = await belongings(engine)
      await starve()
      const wishes = [
        ["create", "--name", "new", "--network", "none", "busybox:1.29"], ["start", "idle"],
        ["tag", "busybox:1.29", "new"], ["rename", "idle", "lazy"], ["pull", reference],
        ["update", "--cpu-shares", "512", "old"], ["pause", "passing"],
        ["stop", "--time", "0", "passing"], ["rm", "--force", "passing"], ["rmi", "starved"],
      ]
      for (const wish of wishes) {
        filler.leave(0)
        const { stderr } = await engine.docker(wish)
        expect(`${wish.join(" ")}: ${stderr}`).toMatch(NO_ROOM)
      }
      const { stderr } = await engine.docker(["load", "--input", BUSYBOX_ARCHIVE])
      expect(stderr).toMatch(/no space left on device/)
      filler.leave(0)
      await answers()
      process.kill(Number(pid), "SIGKILL") // nobody may refuse to hear of this
      filler.drop()
      expect(await engine.done(["wait", "victim"])).toBe("137\n")
      for (const wish of wishes) await engine.done(wish)
      await engine.done(["wait", "lazy"])
      await engine.done(["rm", "new", "lazy", "victim"])
      await engine.done(["rmi", "new", reference])
      before = { ...before, containers: (await belongings(engine)).containers }
      expect(before.containers).toMatch(/^\/old running \S+ \d+\n$/)
      await stopped()
      heldBy(await start())
    })

    test("is the start after an end, and has the ballast for it", async () => {
      filler.leave(0)
      await stopped()
      expect(hasBallast()).toBe(true)
      filler.leave(0)
      heldBy(await start())
      expect(hasBallast()).toBe(false)
      await answers()
    })

    test("keeps the daemon from a start without it, which loses nothing", async () => {
      await starve()
      await stopped()
      filler.leave(0)
      const refused = await start()
      expect(await refused.ended).toBe(1)
      expect(refused.log().trimEnd().split("\n").at(-1))
        .toMatch(/^failed to start daemon: no space left on device: .* make room on /)
      filler.drop()
      heldBy(await start())
      await engine.done(["rmi", "starved"])
    })

    test("is as it was after a crash", async () => {
      await starve()
      await engine.kill()
      filler.leave(0)
      heldBy(await start()) // what it needs is there already
      await answers()
      filler.drop()
      await engine.done(["rmi", "starved"])
    })
  })
})
