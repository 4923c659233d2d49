import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { waitForOrphans } from "../../src/layers/carrier-linux.ts"
import { Carrier, type FetchJob, type Watch } from "../../src/layers/carrier.ts"
import type { Compression } from "../../src/oci/manifest.ts"
import { carrierContract, type WorldLayer } from "../contracts/carrier.ts"
import { childPids, type LinuxWorld, linuxWorld, openBelow } from "./child-world.ts"

const root = process.getuid?.() === 0
const quiet: Watch = { progress: () => {}, retrying: () => {}, checkpoint: () => Effect.void }

const jobOf = (world: LinuxWorld, layer: WorldLayer, directory: string): FetchJob => ({
  job: layer.diffId,
  diffId: layer.diffId,
  bottom: true,
  directory,
  source: layer.source,
  access: world.access,
  base: null,
  whole: null,
  checkpoint: null,
})

describe.skipIf(!root)("as root", () => {
  carrierContract("the extraction child", linuxWorld)

  describe("every packing, both dialects", () => {
    let world: LinuxWorld
    beforeAll(async () => void (world = await linuxWorld()))
    afterAll(() => world.close())
    const cases: [Compression, "docker" | "oci"][] =
      [["gzip", "docker"], ["gzip", "oci"], ["zstd", "oci"], ["none", "oci"], ["none", "docker"]]
    test.each(cases)("%s, %s", async (compression, dialect) => {
      const image = await world.putAs([9_500_000, 1000], compression, dialect)
      await Effect.runPromise(Effect.provide(Effect.gen(function*() {
        const carrier = yield* Carrier
        const { repository, tag: reference } = image
        const { access } = world
        const resolved = yield* carrier.resolve(
          {
            repository, reference, access, platform: null, bases: [],
            named: () => {}, retrying: () => {},
          },
        )
        for (const layer of resolved.layers) {
          const job = { ...jobOf(world, image.layers[0]!, world.directory()), ...layer }
          const { bytes } = yield* carrier.fetch(job, quiet)
          expect([9_500_000, 1000]).toContain(bytes)
        }
      }), world.body))
    })
  })

  describe("the process", () => {
    const inWorld = async (
      options: Parameters<typeof linuxWorld>[0],
      program: (world: LinuxWorld, carrier: Carrier["Service"]) => Effect.Effect<void, unknown>,
    ) => {
      const world = await linuxWorld(options)
      try {
        const run = Effect.flatMap(Carrier, (carrier) => program(world, carrier))
        await Effect.runPromise(Effect.provide(run, world.body))
      } finally {
        await world.close()
      }
      expect(openBelow(world.scratch)).toEqual([])
    }
    const dropNothing = (world: LinuxWorld) => world.directory()

    test("is one, gives way to others, and ends when it has nothing to do", () =>
      inWorld({ idleMs: 50 }, (world, carrier) =>
        Effect.gen(function*() {
          const before = new Set(childPids())
          yield* Effect.all(
            [carrier.drop(dropNothing(world)), carrier.drop(dropNothing(world))],
            { concurrency: 2 },
          )
          const [pid, ...more] = childPids().filter((one) => !before.has(one))
          expect(more).toEqual([])
          expect(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8").trim()).toBe("500")
          // The 19th field behind the name is the nice value (proc_pid_stat(5)).
          const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
          expect(fields[16]).toBe("10")
          while (existsSync(`/proc/${pid}/cmdline`) && childPids().includes(pid!)) {
            yield* Effect.sleep(10)
          }
          yield* carrier.drop(dropNothing(world))
        })))

    test("that cannot be started is told as what it is", () =>
      inWorld({ nodePath: "/nonexistent/node" }, (world, carrier) =>
        Effect.gen(function*() {
          const fault = yield* Effect.flip(carrier.drop(dropNothing(world)))
          expect(fault).toMatchObject({ reason: "local" })
          expect(fault.cause).toMatch(/does not start: .*ENOENT/)
        })))

    test("that hangs is killed, and only then does an interruption return", () =>
      inWorld({ stopMs: 100 }, (world, carrier) =>
        Effect.gen(function*() {
          const image = yield* Effect.promise(() => world.put([3_000_000]))
          world.stallAfter(image.layers[0]!.source.digest, 1_000_000)
          const directory = world.directory()
          const before = new Set(childPids())
          const fetch = yield* Effect.forkChild(
            carrier.fetch(jobOf(world, image.layers[0]!, directory), quiet),
          )
          while (world.sent() < 1_000_000) yield* Effect.sleep(10)
          const [pid] = childPids().filter((one) => !before.has(one))
          process.kill(pid!, "SIGSTOP")
          yield* Fiber.interrupt(fetch)
          expect(openBelow(directory)).toEqual([])
          expect(childPids()).not.toContain(pid)
          yield* carrier.drop(directory)
        })))

    test("dies with its daemon; the lock says when", async () => {
      const world = await linuxWorld()
      const image = await world.put([3_000_000])
      world.stallAfter(image.layers[0]!.source.digest, 1_000_000)
      const lockPath = join(world.scratch, "orphan.lock")
      const job = jobOf(world, image.layers[0]!, world.directory())
      const daemon = spawn(process.execPath, [
        join(import.meta.dirname, "child-daemon.ts"),
        JSON.stringify({ ...world.settings, lockPath }),
        JSON.stringify(job),
      ], { stdio: ["ignore", "inherit", "inherit"] })
      while (world.sent() < 1_000_000) await Effect.runPromise(Effect.sleep(20))
      const orphans = childrenOf(daemon)
      expect(orphans).toHaveLength(1)
      const waiting = Effect.runFork(waitForOrphans(lockPath))
      await Effect.runPromise(Effect.sleep(100))
      expect(waiting.pollUnsafe()).toBeUndefined()
      const gone = once(daemon, "exit")
      daemon.kill("SIGKILL")
      await Effect.runPromise(Fiber.join(waiting))
      await gone
      await world.close()
    })
  })
})

const childrenOf = ({ pid }: ChildProcess): readonly string[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter((one) => one !== "")
