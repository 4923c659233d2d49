import { join } from "node:path"
import { balena } from "../bench/engines/balena.ts"
import { dockerDone, images } from "../bench/engines/docker.ts"
import { startDaemon } from "../bench/engines/engine.ts"
import { writeArchive } from "../images/archive.ts"
import { blobBytes, imageId, type BuiltImage } from "../images/image.ts"
import { makeDisk, type Cut } from "./disk.ts"
import { Cutter, dataRootOf, diskFor, examine, referenceOf } from "./scenario.ts"
import type { Finding, Scenario, Trials } from "./scenario.ts"

const TAG = "powercut/loaded:1"

/** Loads one image from an archive and cuts the power meanwhile. */
export const loadScenario = (image: BuiltImage): Scenario =>
  async (rig, dice, count, round) => {
    const stack = new AsyncDisposableStack()
    try {
      const disk = stack.use(await makeDisk(rig.root, diskFor(image)))
      const archive = join(rig.root, `loaded-${round}.tar`)
      await writeArchive(archive, [{ image, tags: [TAG] }])
      let done = false
      const cutter = new Cutter(disk, dice, count, () => done)
      using _ = cutter.watchJournal(() => 0.5)
      const dataRoot = dataRootOf(disk.mountPoint)
      const daemon = await startDaemon(rig, balena, { name: `load-${round}`, dataRoot })
      const loading = dockerDone(daemon.socket, ["load", "--input", archive])
        .then(() => (done = true))
      loading.catch(() => {}) // it is awaited below
      const expectedMs = blobBytes(image) / 50_000 // about as long as a load takes
      while (!done && cutter.left > count / 4) {
        const instant = new Promise((resolve) =>
          setTimeout(resolve, (dice.next() * 2 * expectedMs) / count))
        await Promise.race([instant, loading])
        await cutter.take("instant")
      }
      await loading
      await cutter.rest(50)
      const common = { rig, reference: await referenceOf(rig, daemon) }
      const trials = cutter.taken.map(({ cut, known }, index) => ({
        cut,
        check: () => check(common, { image, archive }, cut, known, `check-${round}-${index}`),
      }))
      return { trials, [Symbol.asyncDispose]: () => stack.disposeAsync() }
    } catch (fault) {
      await stack.disposeAsync()
      throw fault
    }
  }

const check = (
  common: Trials,
  { image, archive }: { readonly image: BuiltImage; readonly archive: string },
  cut: Cut,
  done: boolean,
  name: string,
): Promise<Finding> =>
  examine(common, cut, name, async ({ daemon: { socket } }, draft) => {
    const there = (await images(socket)).some(({ Id }) => Id === imageId(image))
    draft.kind = there ? "whole" : "absent"
    if (done && draft.kind === "absent") draft.violations.push("a finished load is not there")
    await dockerDone(socket, ["load", "--input", archive])
    const named = (await images(socket)).find(({ RepoTags }) => RepoTags?.includes(TAG))
    if (named?.Id !== imageId(image)) draft.violations.push(`${TAG} names ${named?.Id}`)
  })
