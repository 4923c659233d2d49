import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { openCopy } from "../../simulations/powercut/audit.ts"
import { waitFor } from "../../simulations/powercut/scenario.ts"
import type { LayerMake } from "../../simulations/world/image-maker.ts"
import { noise, tarball } from "../layers/tarballs.ts"
import { BUSYBOX_ARCHIVE, whyNoEngine } from "./engine.ts"
import { freeOf } from "./filler.ts"
import { fullDisk } from "./full.ts"
import { belongings, expectIntact } from "./intact.ts"
import { beginPull, errorIn, type Line, pull, putApp, someLayers } from "./pulling.ts"

const MIB = 2 ** 20
const DISK_MIB = 160
/** As `Error response from daemon`, and not as a conflict with what is in use. */
const NO_ROOM = /daemon: no space left on device: the engine cannot write down what it is asked to /

const [MET, FORESEEN] = [
  "the layer's entry \\S+: no space left on device; remove images or ",
  "the disk is nearly full: 1?\\d MiB free, ", // of the ballast, if that was given up by then
]
/** Who looks first has the word. */
const FULL = new RegExp(`^(${MET}|${FORESEEN})`)

/** They compress to next to nothing, and are unpacked to all they are. */
const ZEROS = Buffer.alloc(80 * MIB)

/** A layer that takes as much room as its blob. */
const plain = (mebibytes: number): LayerMake => ({
  tar: tarball({ path: "plain", content: noise(mebibytes * MIB, mebibytes) }),
  compression: "none",
})

describe.skipIf(whyNoEngine() !== null)("on a disk that is full", () => {
  const disk = fullDisk(DISK_MIB)

  describe("a pull", () => {
    interface Case {
      readonly layers: () => readonly LayerMake[]
      /** Bytes left disk.before it; 0: none, once it unpacks. */
      readonly leave: number
      readonly says: RegExp
      /** What its disk.registry may have sent. */
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
        says: FULL,
        sent: (bytes) => bytes > 300_000,
      }],
    ]
    test.each(CASES)("%s, says so, and leaves nothing", async (_, row) => {
      const { layers, leave, says, sent } = row
      const reference = `${disk.registry.host}/app:1`
      const spare = `${disk.registry.host}/spare:1`
      await disk.engine.done(["tag", "busybox:1.29", spare])
      const [last] = putApp(disk.registry, layers()).layers.slice(-1)
      const misdeed = { do: "slow", bytesPerS: 16 * MIB } as const
      disk.registry.inject({ on: "blob", name: last!.digest, misdeed })
      let toFill = leave === 0
      if (!toFill) disk.filler.leave(leave)
      const began = disk.registry.bytesSent()
      const lines: Line[] = []
      for await (const line of await beginPull(disk.engine, reference)) {
        lines.push(line)
        // Of the large layer: a small one ends before it needs more, and says that otherwise.
        const isLast = line.id === last!.digest.slice(7, 19)
        if (!toFill || line.status !== "Extracting" || !isLast) continue
        disk.fill()
        toFill = false
      }
      const { error, errorDetail } = lines.at(-1)!
      expect(error).toMatch(says)
      expect(errorDetail).toEqual({ message: error })
      expect(disk.registry.bytesSent() - began).toSatisfy(sent)
      await disk.answers()
      await expectIntact(disk.corner, disk.before)
      await disk.engine.done(["rmi", spare])
      disk.filler.drop()
      disk.registry.heal()
      await disk.worksNow(reference)
    })

    test("of more files than the disk may have ends, says so, and leaves nothing", async () => {
      const files = Array.from({ length: 4_000 }, (_, n) => ({ path: `some/${n}` }))
      putApp(disk.registry, [{ tar: tarball(...files), compression: "gzip" }])
      const reference = `${disk.registry.host}/app:1`
      const refused = async () => errorIn(await pull(disk.engine, reference))
      disk.filler.leaveFiles(3_000)
      expect(await refused()).toMatch(/^the layer's entry some\/\d+: no space left on device; rem/)
      await expectIntact(disk.corner, disk.before)
      disk.filler.leaveFiles(100)
      expect(await refused()).toMatch(/^the disk is nearly full: 100 of \d+ inodes free, 2 % are/)
      await disk.answers()
      disk.filler.drop()
      await disk.worksNow(reference)
    })
  })

  describe("what is to be written down", () => {
    const run = (name: string) =>
      ["run", "--detach", "--name", name, "--network", "none", "busybox:1.29", "sleep", "1000000"]
    const stopped = async (): Promise<void> => {
      expect(await disk.engine.stop()).toBe(0)
      const database = openCopy(disk.dataRoot, join(disk.corner.root, "integrity"))!
      expect(database.pragma("integrity_check", { simple: true })).toBe("ok")
      expect(database.pragma("foreign_key_check")).toEqual([])
      database.close()
    }

    test("has the ballast to make room with", async () => {
      const reference = `${disk.registry.host}/app:1`
      putApp(disk.registry, [plain(24)])
      await disk.engine.done(["pull", reference])
      await disk.engine.done(run("passing"))
      disk.filler.leave(0)
      expect(disk.hasBallast()).toBe(true)
      await disk.engine.done(["rm", "--force", "passing"])
      expect(disk.hasBallast()).toBe(false)
      expect(disk.engine.log()).toContain("its ballast is given up")
      await disk.engine.done(["rmi", reference])
      const free = () => freeOf(disk.dataRoot)
      await waitFor("its room", async () => free() > 20 * MIB, free)
      await disk.engine.done(["tag", "busybox:1.29", "again"])
      await disk.engine.done(["rmi", "again"])
    })

    test("is refused without it, and nothing is lost or done by halves", async () => {
      const reference = `${disk.registry.host}/app:1`
      putApp(disk.registry)
      for (const name of ["passing", "victim"]) await disk.engine.done(run(name))
      const idle = ["create", "--name", "idle", "--network", "none", "busybox:1.29", "true"]
      await disk.engine.done(idle)
      const pid = await disk.engine.done(["inspect", "--format", "{{.State.Pid}}", "victim"])
      disk.before = await belongings(disk.engine)
      await disk.starve()
      const wishes = [
        ["create", "--name", "new", "--network", "none", "busybox:1.29"], ["start", "idle"],
        ["tag", "busybox:1.29", "new"], ["rename", "idle", "lazy"], ["pull", reference],
        ["update", "--cpu-shares", "512", "old"], ["pause", "passing"],
        ["stop", "--time", "0", "passing"], ["rm", "--force", "passing"], ["rmi", "starved"],
      ]
      for (const wish of wishes) {
        disk.filler.leave(0)
        const { stderr } = await disk.engine.docker(wish)
        expect(`${wish.join(" ")}: ${stderr}`).toMatch(NO_ROOM)
      }
      const { stderr } = await disk.engine.docker(["load", "--input", BUSYBOX_ARCHIVE])
      expect(stderr).toMatch(/no space left on device/)
      disk.filler.leave(0)
      await disk.answers()
      // conmon writes the code down on this disk: it must have a block for it by then.
      disk.filler.drop()
      process.kill(Number(pid), "SIGKILL") // nobody may refuse to hear of this
      expect(await disk.engine.done(["wait", "victim"])).toBe("137\n")
      for (const wish of wishes) await disk.engine.done(wish)
      await disk.engine.done(["wait", "lazy"])
      await disk.engine.done(["rm", "new", "lazy", "victim"])
      await disk.engine.done(["rmi", "new", reference])
      disk.before = { ...disk.before, containers: (await belongings(disk.engine)).containers }
      expect(disk.before.containers).toMatch(/^\/old running \S+ \d+\n$/)
      await stopped()
      disk.heldBy(await disk.start())
    })

    test("is the start after an end, and has the ballast for it", async () => {
      disk.filler.leave(0)
      await stopped()
      expect(disk.hasBallast()).toBe(true)
      disk.filler.leave(0)
      disk.heldBy(await disk.start())
      expect(disk.hasBallast()).toBe(false)
      await disk.answers()
    })

    test("keeps the daemon from a start without it, which loses nothing", async () => {
      await disk.starve()
      await stopped()
      disk.filler.leave(0)
      const refused = await disk.start()
      expect(await refused.ended).toBe(1)
      expect(refused.log().trimEnd().split("\n").at(-1))
        .toMatch(/^failed to start daemon: no space left on device: .* make room on /)
      disk.filler.drop()
      disk.heldBy(await disk.start())
      await disk.engine.done(["rmi", "starved"])
    })

    test("is as it was after a crash", async () => {
      await disk.starve()
      await disk.engine.kill()
      disk.filler.leave(0)
      disk.heldBy(await disk.start()) // what it needs is there already
      await disk.answers()
      disk.filler.drop()
      await disk.engine.done(["rmi", "starved"])
    })
  })
})
