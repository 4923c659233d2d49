import { join } from "node:path"
import { expect } from "vitest"
import { audit } from "../../simulations/powercut/audit.ts"
import { restless, waitFor } from "../../simulations/powercut/scenario.ts"
import { verifyImages } from "../../simulations/powercut/verify.ts"
import { BUSYBOX_ARCHIVE, type Corner, type Engine } from "./engine.ts"

/** What an engine has when something bad is about to happen to it. */
export interface Belongings {
  readonly engine: Engine
  readonly pid: number
  readonly images: readonly string[]
  /** Name, state, start and pid of every container. */
  readonly containers: string
}

const WHAT = "{{.Name}} {{.State.Status}} {{.State.StartedAt}} {{.State.Pid}}"

const containersOf = async (engine: Engine): Promise<string> => {
  const ids = (await engine.done(["ps", "--all", "--quiet", "--no-trunc"])).split("\n")
  const named = ids.filter(Boolean).toSorted()
  return named.length === 0 ? "" : engine.done(["inspect", "--format", WHAT, ...named])
}

/** Gives an engine something to lose: an image, and a container of it that runs. */
export const furnish = async (engine: Engine): Promise<void> => {
  await engine.done(["load", "--input", BUSYBOX_ARCHIVE])
  const sleeper = ["run", "--detach", "--name", "old", "--network", "none", "busybox:1.29"]
  await engine.done([...sleeper, "sleep", "1000000"])
}

/** Takes it away again, so that the engine can be ended. */
export const clearOut = async (engine: Engine): Promise<void> => {
  const ids = (await engine.done(["ps", "--all", "--quiet"])).split("\n").filter(Boolean)
  if (ids.length > 0) await engine.done(["rm", "--force", ...ids])
}

/** Every image read to its last byte, every container looked at. */
export const belongings = async (engine: Engine): Promise<Belongings> => ({
  engine,
  pid: engine.pid,
  images: (await verifyImages(engine.place.socket)).toSorted(),
  containers: await containersOf(engine),
})

/** A process runs as long as it likes, and is waited for. */
const ENDLESS = "command run.wait of "

/** What is neither named by a row nor finished: rows, directories, leases, commands. */
export const leftovers = (corner: Corner, dataRoot: string): readonly string[] => {
  try {
    const found = audit(dataRoot, join(corner.root, "audit"))
    if (found === null) return ["there is no database"]
    return restless(found).filter((one) => !one.startsWith(ENDLESS))
  } catch (error) {
    return [String(error)] // torn, as it was copied while it was written: the next look decides
  }
}

/**
 * Nothing was lost and nothing is left behind: the same process, the same images to the last byte,
 * the same containers, and no trace of what failed. What tidies up may still be at it.
 */
export const expectIntact = async (corner: Corner, before: Belongings): Promise<void> => {
  const { engine } = before
  let left: readonly string[] = []
  const isTidy = () => (left = leftovers(corner, engine.place.dataRoot)).length === 0
  await waitFor("", async () => isTidy(), () => left.join()).catch(() => {
    throw new Error(`left behind: ${left.join(", ")}`)
  })
  expect(await belongings(engine)).toEqual(before)
  expect(engine.log()).not.toMatch(/defect|quarantine|level=FATAL/i)
}
