import { join } from "node:path"
import { balena } from "../bench/engines/balena.ts"
import { dockerDone, images, pull } from "../bench/engines/docker.ts"
import { startDaemon } from "../bench/engines/engine.ts"
import { startDistribution } from "../images/distribution.ts"
import { blobBytes, imageId, type BuiltImage } from "../images/image.ts"
import { push } from "../images/push.ts"
import { offerDelta } from "./deltas.ts"
import { makeDisk, type Cut } from "./disk.ts"
import { openGate, type Gate } from "./gate.ts"
import {
  Cutter, dataRootOf, diskFor, examine, inTurn, referenceOf, waitFor,
} from "./scenario.ts"
import type { Finding, Revived, Scenario, Trials } from "./scenario.ts"

const REPOSITORY = "powercut/image"
/** At most this much may be fetched again after a cut, over all layers together. */
const REFETCH_MAX = 16 * 2 ** 20

/** What had been said to the client when the cut was taken. */
interface Known {
  readonly sent: number
  /** The engine has answered: from here on it may not forget the pull. */
  readonly acknowledged: boolean
  readonly done: boolean
}

interface World {
  readonly gate: Gate
  readonly image: BuiltImage
  readonly reference: string
  /** What is there before, for a delta to be applied to. */
  readonly old: BuiltImage | null
  /** Of blobs, to be sent. */
  readonly bytes: number
}

/** What is pulled, and how fast the registry sends; slower makes for cuts in mid layer. */
export interface PullOptions {
  readonly image: BuiltImage
  /** What the device has already: then a delta is made against it, found and pulled. */
  readonly old?: BuiltImage
  readonly rate?: number
}

/** Pulls one image and cuts the power while it goes on: at drawn instants and around commits. */
export const pullScenario = ({ image, old, rate }: PullOptions): Scenario =>
  async (rig, dice, count, round) => {
    const stack = new AsyncDisposableStack()
    try {
      const disk = stack.use(await makeDisk(rig.root, diskFor(image)))
      const registry = stack.use(await startDistribution(join(rig.root, `registry-${round}`)))
      await push(image, registry.host, REPOSITORY, "new")
      if (old !== undefined) await push(old, registry.host, REPOSITORY, "old")
      const bytes = old === undefined
        ? blobBytes(image)
        : await offerDelta(rig, `${registry.host}/${REPOSITORY}`, `pull-${round}`)
      const gate = stack.use(await openGate(registry.host, rate === undefined ? {} : { rate }))
      const repository = `${gate.host}/${REPOSITORY}`
      const world = { gate, image, reference: `${repository}:new`, old: old ?? null, bytes }
      let acknowledged = false
      let done = false
      const know = (): Known => ({ sent: gate.sent(), acknowledged, done })
      const cutter = new Cutter(disk, dice, count, know)
      const dataRoot = dataRootOf(disk.mountPoint)
      const daemon = await startDaemon(rig, balena, { name: `pull-${round}`, dataRoot })
      if (old !== undefined) await pull(daemon.socket, `${repository}:old`)
      gate.reset()
      using _ = cutter.watchJournal(() => count / (acknowledged ? 60 : 400))
      const pulling = pull(daemon.socket, world.reference, () => (acknowledged = true))
        .then(() => (done = true))
      await cutter.along(pulling, () => gate.sent(), bytes)
      await cutter.rest(50)
      // what a trial's engine fetches is counted at the one gate
      const turn = inTurn()
      const alone: Trials["alone"] = (work) =>
        turn(() => {
          gate.reset()
          return work()
        })
      const common = { rig, alone, reference: await referenceOf(rig, daemon) }
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
  world: World,
  cut: Cut,
  known: Known,
  name: string,
): Promise<Finding> =>
  examine(common, cut, name, async (revived, draft) => {
    const { violations } = draft
    draft.label += ` at ${(known.sent / 2 ** 20).toFixed(1)} MiB`
    draft.kind = kindOf(revived, world)
    if (known.done && draft.kind !== "whole") violations.push("a finished pull is not there")
    if (known.acknowledged && draft.kind === "absent") violations.push("a pull was forgotten")
    if (draft.kind === "resumed") await continues(revived, world)
    else await pull(revived.daemon.socket, world.reference)
    if (known.acknowledged) {
      const missing = Math.max(0, world.bytes - known.sent)
      draft.refetched = Math.max(0, world.gate.sent() - missing)
      if (draft.refetched > REFETCH_MAX) violations.push(`${draft.refetched} bytes fetched again`)
    }
    violations.push(...await worksNow(revived, world))
  })

/** Whether the disk held the whole image, a pull of it that goes on by itself, or neither. */
const kindOf = ({ before }: Revived, { image, reference }: World): string => {
  if (before === null) return "absent"
  if (before.images.includes(imageId(image))) return "whole"
  const address = `image/${reference}`
  return [...before.machines.keys()].some((key) => key.startsWith(address)) ? "resumed" : "absent"
}

/** The pull goes on without a client, to its end. */
const continues = async ({ daemon }: Revived, { gate, image }: World): Promise<void> => {
  const isVisible = async () =>
    (await images(daemon.socket)).some(({ Id }) => Id === imageId(image))
  await waitFor("the pull does not go on by itself", isVisible, gate.sent)
}

/** The right image under the right name, whole, and a container of it runs. */
const worksNow = async (
  { daemon }: Revived,
  { image, old, reference }: World,
): Promise<string[]> => {
  const violations: string[] = []
  const shown = await images(daemon.socket)
  const named = shown.find(({ RepoTags }) => RepoTags?.includes(reference))
  if (named?.Id !== imageId(image)) violations.push(`${reference} names ${named?.Id}`)
  if (shown.length !== (old === null ? 1 : 2)) violations.push(`${shown.length} images are shown`)
  const said = await dockerDone(daemon.socket, [
    "run", "--rm", "--network", "none", reference, "sh", "-c", "echo it runs",
  ])
  if (said !== "it runs\n") violations.push(`the container said ${JSON.stringify(said)}`)
  return violations
}
