import { createHash, randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { Runtime, type Attachment, type RunPlan } from "../../src/kernel/runtime.ts"
import { collect } from "../contracts/runtime.ts"
import { makeLinuxWorld, whyNot, type CommandOptions, type LinuxWorld } from "./runtime-world.ts"

const MIB = 1 << 20

describe.skipIf(whyNot("crun") !== null)("A container's streams, over conmon", () => {
  let world: LinuxWorld
  let daemon: ManagedRuntime.ManagedRuntime<Runtime, never>
  const plans: RunPlan[] = []

  const ask = <A, E>(body: (runtime: Runtime["Service"]) => Effect.Effect<A, E>): Promise<A> =>
    daemon.runPromise(Effect.flatMap(Runtime, body))

  const start = async (args: readonly string[], options: CommandOptions = {}) => {
    const plan = world.command(`be${process.pid}-${plans.length}`, args, options)
    plans.push(plan)
    const [attachment, started] = await ask((runtime) =>
      Effect.all([runtime.attach(plan.id), runtime.start(plan)], { concurrency: "unbounded" })
    )
    const exit = () => ask((r) => r.wait(plan.id, plan.home, started))
    return { plan, attachment, started, exit }
  }

  beforeAll(() => {
    world = makeLinuxWorld("crun")
    daemon = ManagedRuntime.make(world.body())
  })
  afterEach(async () => {
    for (const plan of plans) await ask((r) => r.clean(plan.id, plan.home))
    expect(world.leftovers()).toEqual([])
  })
  afterAll(async () => {
    await daemon.dispose()
    world.close()
  })

  /** Writes as fast as the other end takes it, in pieces of a size that fits nothing. */
  const pour = (attachment: Attachment, bytes: Buffer): Promise<void> =>
    new Promise((resolve) => {
      let at = 0
      const more = () => {
        while (at < bytes.length) {
          const piece = bytes.subarray(at, at += 100_003)
          if (!attachment.write(piece, more)) return
        }
        attachment.closeStdin()
        resolve()
      }
      more()
    })

  test("20 MB go in and come back whole", async () => {
    const bytes = randomBytes(20_000_000)
    const { attachment, exit } = await start(["cat"], { stdin: true, stdinOnce: true })
    const digest = createHash("sha256")
    let length = 0
    const ended = new Promise<void>((resolve) => {
      attachment.read((_, data) => {
        digest.update(data)
        length += data.length
        return true
      }, resolve)
    })
    await pour(attachment, bytes)
    await ended
    expect(length).toBe(bytes.length)
    expect(digest.digest("hex")).toBe(createHash("sha256").update(bytes).digest("hex"))
    expect((await exit()).exitCode).toBe(0)
  })

  test("a client that reads slowly slows the container down and costs no memory", async () => {
    const args = ["dd", "if=/dev/zero", "bs=64k", "count=800"]
    const { attachment } = await start(args, { log: false })
    let length = 0
    let most = 0
    const before = process.memoryUsage().rss
    const ended = new Promise<void>((resolve) => {
      attachment.read((_, data) => {
        length += data.length
        most = Math.max(most, process.memoryUsage().rss)
        if (length % MIB < data.length) setTimeout(() => attachment.resume(), 5)
        return length % MIB >= data.length
      }, resolve)
    })
    await ended
    expect(length).toBeGreaterThanOrEqual(800 * 65536)
    expect(most - before).toBeLessThan(40 * MIB)
  })

  test("a client that never reads cannot hide the container's end", async () => {
    const { attachment, exit, plan } = await start(["dd", "if=/dev/zero", "bs=64k", "count=100"])
    const another = await ask((r) => r.attach(plan.id))
    let ends = 0
    attachment.read(() => false, () => ends++)
    collect(another)
    const [pid = 0] = await ask((r) => r.pids(plan.id))
    const written = () =>
      Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))![1])
    // Only once it can write no more does conmon stand still, and hold up the end.
    for (let seen = -1; seen < written() || seen < 2 * 65536; await sleep(500)) seen = written()
    process.kill(pid, "SIGKILL")
    expect((await exit()).exitCode).toBe(137)
    expect(ends).toBe(1)
  })

  test("a terminal has the size it is given, and one stream", async () => {
    const { attachment, plan } = await start(
      ["sh", "-c", "read line; stty size; echo err >&2"],
      { terminal: true, stdin: true },
    )
    const output = collect(attachment)
    await ask((r) => r.resize(plan.id, 33, 77))
    attachment.write(Buffer.from("go\n"), () => {})
    await output.ended
    expect(output.stdout()).toContain("33 77")
    expect(output.stdout()).toContain("err")
    expect(output.stderr()).toBe("")
  })

  test("stdin stays open behind a client that leaves, where it is to", async () => {
    const { attachment, plan, started } = await start(["cat"], { stdin: true, stdinOnce: false })
    attachment.close()
    const second = await ask((r) => r.attach(plan.id))
    const output = collect(second)
    second.write(Buffer.from("still here"), () => {})
    await output.saw("still here")
    await ask((r) => r.signal(plan.id, started, "KILL"))
    await output.ended
  })

  test("the log holds both streams, line by line, in order", async () => {
    const script = "echo a; sleep 0.1; echo b >&2; sleep 0.1; printf c"
    const { exit, plan } = await start(["sh", "-c", script])
    await exit()
    const lines = readFileSync(join(plan.home, "log"), "utf8").trim().split("\n")
      .map((line) => line.split(" ").slice(1).join(" "))
    expect(lines).toEqual(["stdout F a", "stderr F b", "stdout P c"])
  })

  test("a container inherits no ignored signals and no descriptors", async () => {
    const { attachment } = await start(["sh", "-c", "cat /proc/self/status; ls /proc/self/fd"])
    const output = collect(attachment)
    await output.ended
    expect(output.stdout()).toMatch(/SigIgn:\t0000000000000000/)
    // 3 is the descriptor by which `ls` reads the directory.
    expect(output.stdout().trim().split("\n").slice(-4)).toEqual(["0", "1", "2", "3"])
  })
})
