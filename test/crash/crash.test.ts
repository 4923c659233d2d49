import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { askJson, images } from "../../simulations/bench/engines/docker.ts"
import { run } from "../../simulations/images/command.ts"
import { audit } from "../../simulations/powercut/audit.ts"
import { mountsBelow } from "../../simulations/powercut/rig.ts"
import { waitFor } from "../../simulations/powercut/scenario.ts"
import { verifyImages } from "../../simulations/powercut/verify.ts"
import { putImage } from "../../simulations/world/image-maker.ts"
import { EmbeddedRegistry } from "../../simulations/world/registry.ts"
import { pidsOf, readCgroups } from "../../src/kernel/cgroups.ts"
import {
  type Corner,
  type Engine,
  openCorner,
  othersIn,
  placeOf,
  whyNoEngine,
} from "../e2e/engine.ts"
import { noise, tarball } from "../layers/tarballs.ts"
import { bundled } from "./bundle.ts"
import { type Step, storiesOf, type Story } from "./stories.ts"

/**
 * The promise: whatever an engine has answered holds, and whatever it has not still ends well, even
 * if it is killed at any of its commits. Each story is played once undisturbed, which counts its
 * commits, and once more for each of them and each way to die there (daemon.ts).
 */
const WAYS = ["kept", "lost"] as const
const WORKERS = 2

interface Death {
  readonly at: number
  readonly way: (typeof WAYS)[number]
}

let corner: Corner
let registry: EmbeddedRegistry
let program: readonly string[]
const stack = new AsyncDisposableStack()
beforeAll(async () => {
  if (whyNoEngine() !== null) return
  corner = stack.use(await openCorner())
  program = stack.use(await bundled()).program
})
afterAll(() => stack.disposeAsync())

/** Three layers, one of them so large that a checkpoint falls into it. */
const startRegistry = async (): Promise<EmbeddedRegistry> => {
  const made = await EmbeddedRegistry.start()
  const layers = [
    { tar: tarball({ path: "a", content: noise(9 << 20) }), compression: "gzip" },
    { tar: tarball({ path: "b", content: "b" }), compression: "zstd" },
    { tar: tarball({ path: "c", content: "c" }), compression: "none" },
  ] as const
  putImage(made, { repository: "app", tags: ["1"], layers, dialect: "oci" })
  putImage(made, { repository: "app", tags: ["small"], layers: layers.slice(1), dialect: "oci" })
  return made
}

const start = (name: string, env: Record<string, string> = {}): Promise<Engine> =>
  corner.start({ name, program, env })

const byText = (one: unknown, other: unknown): number =>
  String(one) < String(other) ? -1 : 1

/** What clients see of an engine. */
const seen = async ({ place: { socket } }: Engine): Promise<unknown> => {
  const containers = await askJson<{ Names: string[]; State: string; Status: string }[]>(
    socket, "GET", "/containers/json?all=1")
  return {
    images: (await images(socket)).map(({ Id, RepoTags }) => [Id, ...(RepoTags ?? [])])
      .toSorted(byText),
    containers: containers.map(({ Names, State, Status }) =>
      [...Names, State, /^Exited \(\d+\)/.exec(Status)?.[0] ?? ""]).toSorted(byText),
  }
}

/** Lets an engine come to rest, ends it, and answers what is left of it and its containers. */
const leftBy = async (name: string, engine: Engine): Promise<readonly string[]> => {
  const place = placeOf(corner.rig, name)
  const look = () => audit(place.dataRoot, join(corner.root, name, "audit"))
  const isAtRest = async () => look()?.unfinished.length === 0
  await waitFor("", isAtRest).catch(() => {}) // what is unfinished even so is told below
  const code = await engine.stop()
  const isAlone = async () => othersIn(engine).length === 0 // the child ends a moment later
  const left = await waitFor("", isAlone).then(() => [], () => othersIn(engine))
  const found = look()
  const bundles = join(place.execRoot, "bundles")
  return [
    ...(code === 0 ? [] : [`SIGTERM ended the daemon with ${code}`]),
    ...found!.leaks,
    ...found!.unfinished,
    ...mountsBelow(join(corner.root, name)),
    ...(existsSync(bundles) ? readdirSync(bundles).map((bundle) => `bundle ${bundle}`) : []),
    ...left.map((pid) => `process ${pid}`),
    ...pidsOf(readCgroups(), place.cgroupParent).map((pid) => `process ${pid} of a container`),
    ...groupsOf(place.cgroupParent),
  ]
}

const groupsOf = (parent: string): readonly string[] =>
  readCgroups().hierarchies.map(({ mountPoint }) => join(mountPoint, parent)).filter(existsSync)
    .flatMap((path) =>
      readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory())
        .map((entry) => join(path, entry.name)))

/** Plays steps until one fails because the daemon has died; answers how many were answered. */
const play = async (steps: readonly Step[], engine: Engine): Promise<number> => {
  let died = false
  void engine.ended.then(() => (died = true))
  for (const [index, step] of steps.entries()) {
    try {
      await step.ask(engine.place.socket)
    } catch (fault) {
      // a connection may break a moment before the process counts as ended
      if (!died) await Promise.race([engine.ended, afterWhile(fault)])
      return index
    }
  }
  return steps.length
}

const afterWhile = (fault: unknown): Promise<never> =>
  new Promise((_, reject) => setTimeout(() => reject(fault), 5_000))

/** Starts a daemon on a copy of what the story begins with. */
const begin = async (story: Story, name: string, env: Record<string, string>): Promise<Engine> => {
  const [from, to] = [story.name, name].map((one) => placeOf(corner.rig, one).dataRoot)
  if (existsSync(from!)) {
    mkdirSync(dirname(to!), { recursive: true })
    // Hard links stay links: busybox has four hundred.
    await run("cp", ["--archive", from!, to!])
  }
  return start(name, env)
}

/** Makes what a story begins with. */
const prepare = async (story: Story): Promise<void> => {
  if (story.before.length === 0) return
  const engine = await start(story.name)
  for (const step of story.before) await step.ask(engine.place.socket)
  await engine.stop()
}

/** Plays a story to its end; answers the commits it took and what is seen then. */
const undisturbed = async (story: Story) => {
  const name = `${story.name}-whole`
  const countPath = join(corner.root, `${name}.count`)
  const engine = await begin(story, name, { CRASH_COUNT: countPath })
  await play(story.steps, engine)
  const end = await seen(engine)
  expect(await leftBy(name, engine)).toEqual([])
  return { count: Number(readFileSync(countPath, "utf8")), end }
}

const succeeds = (work: Promise<void>): Promise<boolean> =>
  work.then(() => true, () => false)

/** Plays a story with a death in it, looks, and plays the rest of it. */
const disturbed = async (story: Story, { at, way }: Death, end: unknown): Promise<void> => {
  const name = `${story.name}-${way}-${at}`
  const env = { CRASH_AT: String(at), CRASH_WAY: way }
  const dying = await begin(story, name, env)
  const answered = await play(story.steps, dying)
  if (answered < story.steps.length) await dying.ended
  else await dying.kill() // commits fell together, and there were fewer than before
  audit(dying.place.dataRoot, join(corner.root, name, "audit")) // throws if SQLite finds damage

  const engine = await start(name)
  const { socket } = engine.place
  const isRight = async () => {
    for (const step of story.steps.slice(Math.max(0, answered - 1), answered + 1)) {
      if (await succeeds(step.holds(socket))) return true
    }
    return answered === 0
  }
  await waitFor(`after ${answered} answers`, isRight)
  await verifyImages(socket)
  for (const step of story.steps.slice(answered)) {
    await step.ask(socket)
    await step.holds(socket)
  }
  await verifyImages(socket)
  expect(await seen(engine)).toEqual(end)
  expect(await leftBy(name, engine)).toEqual([])
}

describe.skipIf(whyNoEngine() !== null)("killed at any commit", () => {
  beforeAll(async () => {
    registry = await startRegistry()
    stack.defer(() => registry.close())
  })
  test.each(storiesOf("", "").map(({ name }) => name))("%s", async (name) => {
    const story = storiesOf(`${registry.host}/app:1`, `${registry.host}/app:small`).find((one) =>
      one.name === name
    )!
    await prepare(story)
    const { count, end } = await undisturbed(story)
    const deaths = Array.from({ length: count }, (_, index) => index + 1)
      .flatMap((at) => WAYS.map((way): Death => ({ at, way })))
    const work = async () => {
      for (let death = deaths.shift(); death !== undefined; death = deaths.shift()) {
        const { at, way } = death
        await disturbed(story, death, end).catch((fault: Error) => {
          throw new Error(`commit ${at} of ${count}, ${way}: ${fault.message}`, { cause: fault })
        })
      }
    }
    await Promise.all(Array.from({ length: WORKERS }, work))
  })
})
