import { join } from "node:path"
import { balena } from "../bench/engines/balena.ts"
import { dockerDone, images } from "../bench/engines/docker.ts"
import { startDaemon } from "../bench/engines/engine.ts"
import { startDistribution } from "../images/distribution.ts"
import { writeArchive } from "../images/archive.ts"
import { blobBytes, imageId, type BuiltImage } from "../images/image.ts"
import { makeDisk, type Cut } from "./disk.ts"
import { openGate, type Gate } from "./gate.ts"
import { Cutter, dataRootOf, diskFor, examine, inTurn, referenceOf } from "./scenario.ts"
import type { Finding, Scenario, Trials } from "./scenario.ts"

const LOADED = "powercut/pushed:1"

interface World {
  readonly gate: Gate
  readonly image: BuiltImage
}

/**
 * Pushes one image and cuts the power meanwhile. Nothing of a push may be left, and nothing of the
 * image be missing: pushed again it goes, and what is at the registry then is the whole of it.
 */
export const pushScenario = ({ image, rate }: {
  readonly image: BuiltImage
  readonly rate?: number
}): Scenario =>
  async (rig, dice, count, round) => {
    const stack = new AsyncDisposableStack()
    try {
      const disk = stack.use(await makeDisk(rig.root, diskFor(image)))
      const storage = join(rig.root, `storage-${round}`)
      const registry = stack.use(
        await startDistribution(join(rig.root, `registry-${round}`), { storage }),
      )
      const gate = stack.use(await openGate(registry.host, rate === undefined ? {} : { rate }))
      const world = { gate, image }
      const archive = join(rig.root, `pushed-${round}.tar`)
      await writeArchive(archive, [{ image, tags: [LOADED] }])
      const dataRoot = dataRootOf(disk.mountPoint)
      const daemon = await startDaemon(rig, balena, { name: `push-${round}`, dataRoot })
      await dockerDone(daemon.socket, ["load", "--input", archive])
      const name = `${gate.host}/pushed:1`
      await dockerDone(daemon.socket, ["tag", LOADED, name])
      const cutter = new Cutter(disk, dice, count, () => gate.taken())
      using _ = cutter.watchJournal(() => 0.5)
      const pushing = dockerDone(daemon.socket, ["push", name])
      await cutter.along(pushing, () => gate.taken(), blobBytes(image))
      await cutter.rest(50)
      const common = { rig, alone: inTurn(), reference: await referenceOf(rig, daemon) }
      const trials = cutter.taken.map(({ cut, known }, index) => ({
        cut,
        check: () => check(common, world, cut, known, `check-${round}-${index}`),
      }))
      return { trials, [Symbol.asyncDispose]: () => stack.disposeAsync() }
    } catch (fault) {
      await stack.disposeAsync()
      throw fault
    }
  }

const check = (
  common: Trials,
  { gate, image }: World,
  cut: Cut,
  taken: number,
  name: string,
): Promise<Finding> =>
  examine(common, cut, name, async ({ before, daemon: { socket } }, draft) => {
    const { violations } = draft
    draft.label += ` at ${(taken / 2 ** 20).toFixed(1)} MiB`
    const pushes = [...before?.machines.keys() ?? []].filter((one) => one.startsWith("push/"))
    draft.kind = pushes.length > 0 ? "in the midst" : "at rest"
    const there = (await images(socket)).map(({ Id }) => Id)
    if (there.join() !== imageId(image)) violations.push(`${there.join()} is here`)
    // A repository of its own: nothing there is known, so that all of it is sent.
    const target = `${gate.host}/${name}:1`
    await dockerDone(socket, ["tag", LOADED, target])
    await dockerDone(socket, ["push", target])
    await dockerDone(socket, ["image", "rm", "--force", imageId(image)])
    await dockerDone(socket, ["pull", target])
    const [back] = await images(socket)
    if (back?.Id !== imageId(image)) violations.push(`${target} came back as ${back?.Id}`)
  })
