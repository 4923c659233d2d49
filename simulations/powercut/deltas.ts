import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { balena } from "../bench/engines/balena.ts"
import { dockerDone, images, posted, pull } from "../bench/engines/docker.ts"
import { startDaemon } from "../bench/engines/engine.ts"
import { writeArchive } from "../images/archive.ts"
import { blobBytes, imageId, type BuiltImage } from "../images/image.ts"
import { makeDisk, type Cut } from "./disk.ts"
import type { Rig } from "./rig.ts"
import { Cutter, dataRootOf, diskFor, examine, referenceOf } from "./scenario.ts"
import type { Finding, Scenario, Trials } from "./scenario.ts"

/** An image, and the one that comes after it. */
export interface Update {
  readonly old: BuiltImage
  readonly new: BuiltImage
}

const UNITS = { B: 1, kB: 1e3, MB: 1e6 } as const
const OLD = "powercut/app:old"
const NEW = "powercut/app:new"
const DELTA = "powercut/app:delta"

/** Makes a delta and cuts the power meanwhile: it is there, or nothing of it is. */
export const makeScenario = (update: Update): Scenario =>
  async (rig, dice, count, round) => {
    const stack = new AsyncDisposableStack()
    try {
      const disk = stack.use(await makeDisk(rig.root, diskFor(update.new)))
      const archive = join(rig.root, `update-${round}.tar`)
      await writeArchive(archive, [
        { image: update.old, tags: [OLD] },
        { image: update.new, tags: [NEW] },
      ])
      const dataRoot = dataRootOf(disk.mountPoint)
      const daemon = await startDaemon(rig, balena, { name: `make-${round}`, dataRoot })
      await dockerDone(daemon.socket, ["load", "--input", archive])
      let done = false
      const cutter = new Cutter(disk, dice, count, () => done)
      using _ = cutter.watchJournal(() => 0.5)
      const making = make(daemon.socket).then(() => (done = true))
      making.catch(() => {}) // it is awaited below
      const expectedMs = blobBytes(update.new) / 20_000 // about as long as it takes
      while (!done && cutter.left > count / 4) {
        await Promise.race([sleep((dice.next() * 2 * expectedMs) / count), making])
        await cutter.take("instant")
      }
      await making
      await cutter.rest(50)
      const common = { rig, reference: await referenceOf(rig, daemon) }
      const trials = cutter.taken.map(({ cut, known }, index) => ({
        cut,
        check: () => check(common, update, cut, known, `check-${round}-${index}`),
      }))
      return { trials, [Symbol.asyncDispose]: () => stack.disposeAsync() }
    } catch (fault) {
      await stack.disposeAsync()
      throw fault
    }
  }

const make = (socket: string): Promise<void> =>
  posted(socket, `/images/delta?src=${OLD}&dest=${NEW}&t=${DELTA}&format=framed`)

const check = (
  common: Trials,
  update: Update,
  cut: Cut,
  done: boolean,
  name: string,
): Promise<Finding> =>
  examine(common, cut, name, async ({ daemon: { socket } }, draft) => {
    const { violations } = draft
    const namesOf = async () => (await images(socket)).flatMap(({ RepoTags }) => RepoTags ?? [])
    const before = await namesOf()
    draft.kind = before.includes(DELTA) ? "whole" : "absent"
    if (done && draft.kind === "absent") violations.push("a finished delta is not there")
    for (const kept of [OLD, NEW]) if (!before.includes(kept)) violations.push(`${kept} has gone`)
    await make(socket)
    // It makes the new image of the old one, once that is not there any more.
    const archive = join(common.rig.root, `${name}.tar`)
    await dockerDone(socket, ["save", "--output", archive, DELTA])
    await dockerDone(socket, ["rmi", DELTA, NEW])
    await dockerDone(socket, ["load", "--input", archive])
    const made = (await images(socket)).find(({ RepoTags }) => RepoTags?.includes(DELTA))
    if (made?.Id !== imageId(update.new)) violations.push(`the delta makes ${made?.Id}`)
  })

/**
 * Has an engine of its own make the delta of what a repository has as `old` and `new`, and attach
 * it there. Answers its size.
 */
export const offerDelta = async (rig: Rig, repository: string, name: string): Promise<number> => {
  await using daemon = await startDaemon(rig, balena, {
    name: `${name}-maker`,
    dataRoot: join(rig.root, `${name}-maker-data`),
  })
  for (const tag of ["old", "new"]) await pull(daemon.socket, `${repository}:${tag}`)
  const query = `src=${repository}:old&dest=${repository}:new&push=1`
  let bytes = 0
  await posted(daemon.socket, `/images/delta?${query}`, ({ status = "" }) => {
    const [, number, unit = ""] = /Delta size: ([\d.]+)([kM]?B)/.exec(status) ?? []
    if (number !== undefined) bytes = Number(number) * UNITS[unit as keyof typeof UNITS]
  })
  await daemon.stop()
  return bytes
}
