import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import {
  BALENA, BUSYBOX_ARCHIVE, openCorner, whyNoEngine, type Corner, type Engine,
} from "./engine.ts"
import { onTerminal } from "./terminal.ts"

/** What a shell in a container shows when it waits. */
const PROMPT = "/ # "

/** The terminal's own words, as a person at a device's shell would use them. */
describe.skipIf(whyNoEngine() !== null)("balena, against a running engine", () => {
  let corner: Corner
  let engine: Engine
  const host = () => ["-H", `unix://${engine.place.socket}`]
  const balena = (...words: string[]) => {
    const argv = [...host(), ...words]
    const { status, stdout, stderr } = spawnSync(BALENA, argv, { encoding: "utf8" })
    return { status, stdout, stderr }
  }
  const run = (...words: string[]) => balena("run", "--network", "none", ...words)
  /** The same on a terminal of its own; the keys are typed once `cue` is to be read there. */
  const typed = (words: readonly string[], cue: string, keys: string) =>
    onTerminal([BALENA, ...host(), ...words], { cue, keys })

  beforeAll(async () => {
    corner = await openCorner()
    engine = await corner.start({ name: "cli" })
  })
  afterAll(async () => {
    for (const id of balena("ps", "-aq").stdout.split("\n")) if (id !== "") balena("rm", "-f", id)
    await engine.stop()
    await corner[Symbol.asyncDispose]()
  })

  test("loads, lists, inspects and saves an image", () => {
    expect(balena("load", "-i", BUSYBOX_ARCHIVE).stdout).toMatch(/Loaded image: busybox:1\.29\n$/)
    expect(balena("images").stdout).toMatch(/^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE\nbusybox +1/)
    expect(balena("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").stdout)
      .toBe("busybox:1.29\n")
    expect(balena("inspect", "-f", "{{.RepoTags}}", "busybox:1.29").stdout)
      .toBe("[\"busybox:1.29\"]\n")
    const saved = spawnSync("sh", ["-c", '"$@" | tar t', "save", BALENA, ...host(), "save",
      "busybox:1.29"], { encoding: "utf8" })
    expect(saved.stdout).toContain("manifest.json")
  })

  test("runs to the end: both streams apart, and the exit code", () => {
    expect(run("--rm", "busybox:1.29", "sh", "-c", "echo out; echo err >&2; exit 3"))
      .toEqual({ status: 3, stdout: "out\n", stderr: "err\n" })
    const { status, stderr } = run("--rm", "busybox:1.29", "nosuch")
    expect(stderr).toContain("executable file not found")
    expect(status).toBe(127)
  })

  test("gives standard input on, all of it", () => {
    const input = "x".repeat(3_000_000)
    const words = [...host(), "run", "-i", "--rm", "--network", "none", "busybox:1.29", "wc", "-c"]
    expect(spawnSync(BALENA, words, { input, encoding: "utf8" }).stdout).toBe(`${input.length}\n`)
  })

  test("leads a container through its life", () => {
    const id = run("-d", "--name", "life", "busybox:1.29", "sh", "-c", "echo hi; sleep 600").stdout
    expect(id).toMatch(/^[0-9a-f]{64}\n$/)
    expect(balena("ps", "--format", "{{.Names}} {{.State}}").stdout).toBe("life running\n")
    expect(balena("pause", "life").status).toBe(0)
    expect(balena("unpause", "life").status).toBe(0)
    expect(balena("rename", "life", "other").status).toBe(0)
    expect(balena("top", "other").stdout).toContain("sleep 600")
    expect(balena("kill", "other").stdout).toBe("other\n")
    expect(balena("wait", "other").stdout).toBe("137\n")
    expect(balena("logs", "other").stdout).toBe("hi\n")
    expect(balena("rm", "other").stdout).toBe("other\n")
    expect(balena("rm", "other")).toEqual({
      status: 1,
      stdout: "",
      stderr: "Error response from daemon: No such container: other\n",
    })
  })

  test("passes signals on", async () => {
    const script = 'trap "echo got; exit 5" TERM; echo ready; while :; do sleep 0.05; done'
    const words = ["run", "--rm", "--network", "none", "busybox:1.29", "sh", "-c", script]
    const client = spawn(BALENA, [...host(), ...words])
    let said = ""
    client.stdout.setEncoding("utf8").on("data", (text: string) => {
      if (said === "") client.kill("SIGTERM")
      said += text
    })
    expect(await once(client, "exit")).toEqual([5, null])
    expect(said).toBe("ready\ngot\n")
  })

  test("lends its terminal, with its size, and takes it back", async () => {
    const words = ["run", "-it", "--rm", "--network", "none", "busybox:1.29", "sh"]
    // The size is set once it has started, and the shell may be quicker.
    const keys = "until stty size | grep 77; do sleep 0.1; done; exit 7\n"
    const { code, shown } = await typed(words, PROMPT, keys)
    expect(shown).toContain("33 77")
    expect(code).toBe(7)
  })

  test("leaves a container running, and comes back to it", async () => {
    const words = ["run", "-it", "--name", "left", "--network", "none", "busybox:1.29", "sh"]
    expect((await typed(words, PROMPT, "\x10\x11")).code).toBe(0)
    expect(balena("ps", "-q").stdout).not.toBe("")
    const back = await typed(["attach", "left"], "", "exit 4\n")
    expect(back.code).toBe(4)
    balena("rm", "left")
  })

  test("shows the machines: all, one drawn, its history", () => {
    const list = balena("debug", "machines").stdout
    expect(list).toMatch(/^MACHINE +STATE/)
    const layer = /^layer\S+/m.exec(list)?.[0] ?? ""
    expect(balena("debug", "machines", layer).stdout).toContain("* ready")
    const short = layer.replace("sha256:", "").slice(0, "layer/".length + 12)
    expect(balena("debug", "machines", short).stdout).toContain(`${layer}: ready`)
    expect(balena("debug", "machines", layer, "-f", "mermaid").stdout).toMatch(/^stateDiagram-v2/)
    expect(balena("debug", "machines", "layer/f00").stderr)
      .toBe("Error response from daemon: no such machine: layer/f00\n")
    expect(balena("debug", "machines", layer, "--history").stdout).toContain("layer.fetch")
    expect(JSON.parse(balena("debug", "machines", "--json").stdout)).toBeInstanceOf(Array)
    expect(balena("debug", "machines", layer, "--retry").stdout)
      .toBe(`${layer} is not in quarantine\n`)
    expect(balena("debug", "machines", "layer/none", "--retry").stderr)
      .toContain("no such machine: layer/none")
  })
})
