import { readFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, test } from "vitest"
import { pull } from "../../simulations/bench/engines/docker.ts"
import { makeVolume } from "../../simulations/powercut/disk.ts"
import { putImage } from "../../simulations/world/image-maker.ts"
import { EmbeddedRegistry } from "../../simulations/world/registry.ts"
import { BALENAD, openCorner, whyNoEngine } from "../e2e/engine.ts"
import { noise, tarball } from "../layers/tarballs.ts"
import {
  checkpointsBeforeSaved, contentBeforeIndex, indexBeforeWord, isMessage, type Marks,
  rowsBeforeWords,
} from "./order.ts"
import { type Call, callsOf } from "./trace.ts"

/**
 * A power cut of the rig keeps whatever had reached the block layer: it cannot see a flush that is
 * missing. So the daemon and its child are watched at the kernel's door during a real pull.
 */
const TRACED = [
  "write", "writev", "pwrite64", "ftruncate", "sync_file_range", "fsync", "fdatasync", "close",
  "openat", "openat2", "mkdirat", "mknodat", "symlinkat", "linkat", "renameat2", "unlinkat",
  "fchown", "fchownat", "fchmod", "fchmodat", "fsetxattr", "utimensat",
]
/** Pages of the log are 1 KiB; of messages the beginning is enough. */
const STRINGS_MAX = "2048"

/** One layer of 14 MiB: two checkpoints fall into it, one in the middle of its large file. */
const [LARGE, SMALL] = [9 << 20, 20_000]
const bytes = noise(LARGE + 250 * SMALL)
const entries = [
  { path: "large", content: bytes.subarray(0, LARGE) },
  { path: "folder", type: "5" },
  ...Array.from({ length: 250 }, (_, n) => ({
    path: `folder/${n}`,
    content: bytes.subarray(LARGE + n * SMALL, LARGE + (n + 1) * SMALL),
  })),
  { path: "link", type: "2", link: "large" },
  { path: "folder/7", content: "another" },
]

let marks: Marks
let calls: readonly Call[]

const tracedPull = async (): Promise<void> => {
  await using corner = await openCorner()
  await using volume = await makeVolume(corner.root, "disk", 256)
  const registry = await EmbeddedRegistry.start()
  const config = "MARK=as-it-is-in-the-image"
  const made = putImage(registry, {
    repository: "app",
    tags: ["1"],
    layers: [{ tar: tarball(...entries), compression: "gzip" }],
    dialect: "docker",
    config: { config: { Env: Array.from({ length: 8 }, () => config) } },
  })
  const trace = join(corner.root, "trace")
  const engine = await corner.start({
    name: "traced",
    dataRoot: join(volume.mountPoint, "data"),
    program: [
      "strace", "-f", "-yy", "-s", STRINGS_MAX, "-e", `trace=${TRACED.join()}`, "-o", trace,
      ...BALENAD,
    ],
  })
  const reference = `${registry.host}/app:1`
  marks = { reference, diffId: made.layers[0]!.diffId, config }
  await pull(engine.place.socket, reference)
  process.kill(Number(readFileSync(engine.place.pidfile, "utf8")), "SIGTERM")
  await engine.ended
  await registry.close()
  calls = callsOf(readFileSync(trace, "utf8"))
}

describe.skipIf(whyNoEngine() !== null)("a pull, at the kernel's door", () => {
  beforeAll(tracedPull)

  test("waits for all content before a layer's index is synced", () => {
    expect(contentBeforeIndex(calls)).toEqual([])
  })
  test("syncs the index before the child says how far it is", () => {
    expect(indexBeforeWord(calls)).toEqual([])
  })
  test("syncs every checkpoint's row before the child hears that it is kept", () => {
    expect(calls.filter(isMessage("checkpoint")).length).toBeGreaterThanOrEqual(2)
    expect(checkpointsBeforeSaved(calls)).toEqual([])
  })
  test("syncs the wish, the layer and the image before anybody is told", () => {
    expect(rowsBeforeWords(calls, marks)).toEqual([])
  })

  const isWait = ({ name, args }: Call) => name === "sync_file_range" && args.includes("WAIT_AFTER")
  const rows = (seen: readonly Call[]) => rowsBeforeWords(seen, marks)
  test.each([
    ["waiting for content", isWait, contentBeforeIndex],
    ["waiting for one", (call: Call) => isWait(call) && call.on.endsWith("/3"), contentBeforeIndex],
    ["syncing an index", ({ name }: Call) => name === "fsync", indexBeforeWord],
    ["syncing checkpoints", ({ name }: Call) => name === "fdatasync", checkpointsBeforeSaved],
    ["syncing rows", ({ name }: Call) => name === "fdatasync", rows],
  ])("would be found out without %s", (_, isMissing, rule) => {
    expect(rule(calls.filter((call) => !isMissing(call)))).not.toEqual([])
  })
})
