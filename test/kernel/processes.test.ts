import { spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import {
  onEnd, processOf, signalNumber, signalProcess, startTicksOf, type Process,
} from "../../src/kernel/processes.ts"
import { run, type Outcome, type Program } from "../../src/kernel/spawn.ts"

const finished = (program: Program): Promise<Outcome> => new Promise((done) => run(program, done))
const ended = (process: Process): Promise<void> => new Promise((done) => onEnd(process, done))

/** Ends itself while a thread of its own opens a FIFO that nobody ever writes to. */
const ENDING = `
  import { open } from "node:fs"
  import { exitAtOnce } from "${join(import.meta.dirname, "../../src/kernel/processes.ts")}"
  open(process.argv[1], "r", () => {})
  exitAtOnce(3)
`

describe("Processes", () => {
  test("the own end waits for no thread, whatever that is stuck in", () => {
    const folder = mkdtempSync(join(tmpdir(), "be-processes-"))
    const fifo = join(folder, "fifo")
    expect(spawnSync("mkfifo", [fifo]).status).toBe(0)
    const words = ["--input-type=module", "--eval", ENDING, "--", fifo]
    // The limit is only there against the hanging this is about.
    const { status } = spawnSync(process.execPath, words, { timeout: 60_000 })
    rmSync(folder, { recursive: true })
    expect(status).toBe(3)
  })

  test("a signal is named as Docker names it, or is none", () => {
    expect(["SIGTERM", "term", "15", "SIGKILL", "Hup", "RTMIN", "SIGRTMIN+3", "RTMAX", "rtmax-1"]
      .map(signalNumber)).toEqual([15, 15, 15, 9, 1, 34, 37, 64, 63])
    expect(["", "0", "65", "-9", "9.5", "SIGNONE", "SIG", "RTMIN+31", "RTMAX+1", "1e1", " 9"]
      .map(signalNumber)).toEqual(Array(11).fill(null))
  })

  test("a process is told from a later one with its pid", () => {
    const self = processOf(process.pid)!
    expect(signalProcess(self, 0)).toBe(true)
    expect(signalProcess({ ...self, startTicks: self.startTicks - 1 }, 9)).toBe(false)
  })

  test("an end is seen, of a stranger too, and again when it is long past", async () => {
    const child = spawn("sleep", ["1000"], { stdio: "ignore" })
    const process = processOf(child.pid!)!
    const waiting = ended(process)
    child.kill("SIGKILL")
    await waiting
    await ended(process)
  })

  test("giving up on an end calls nobody back", async () => {
    const child = spawn("sleep", ["1000"], { stdio: "ignore" })
    const process = processOf(child.pid!)!
    let calls = 0
    onEnd(process, () => calls++)()
    child.kill("SIGKILL")
    await ended(process)
    expect(calls).toBe(0)
  })

  test("a pid that nobody has is no process", () => {
    expect(startTicksOf(2 ** 22 + 1)).toBe(null)
    expect(processOf(2 ** 22 + 1)).toBe(null)
  })
})

describe("Spawn", () => {
  test("a program's words and code come back", async () => {
    const program = { argv: ["/bin/sh", "-c", "echo out; echo err >&2; exit 3"] }
    expect(await finished(program)).toEqual({ exitCode: 3, stdout: "out\n", stderr: "err\n" })
  })

  test("a signal's exit code is 128 more", async () => {
    expect((await finished({ argv: ["/bin/sh", "-c", "kill -9 $$"] })).exitCode).toBe(137)
  })

  test("a child has the environment, directory and descriptors it was given", async () => {
    const { stdout } = await finished({
      argv: ["/bin/sh", "-c", "pwd; echo $GIVEN; ls /proc/self/fd"],
      directory: "/usr",
      environment: ["GIVEN=yes"],
    })
    // 3 is the descriptor by which `ls` reads the directory.
    expect(stdout.trim().split("\n")).toEqual(["/usr", "yes", "0", "1", "2", "3"])
  })

  test("a program that is not there is an error at once", () => {
    expect(() => run({ argv: ["/nowhere/at/all"] }, () => {})).toThrow(/posix_spawn .*ENOENT/)
  })

  test("many at once are all reaped", async () => {
    const codes = Array.from({ length: 40 }, (_, code) => code)
    const outcomes = await Promise.all(codes.map((code) =>
      finished({ argv: ["/bin/sh", "-c", `exit ${code}`] })
    ))
    expect(outcomes.map(({ exitCode }) => exitCode)).toEqual(codes)
  })
})
