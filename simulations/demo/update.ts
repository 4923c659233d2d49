import { setTimeout as sleep } from "node:timers/promises"
import { needed } from "./stage.ts"
import { step, type Telling } from "./telling.ts"
import type { Terminal } from "./terminal.ts"
import { count, megabytes, percent, seconds } from "./words.ts"

/** The bad link: bytes a second, how long v2 takes at least, and where in it the link breaks. */
const RATE = 6_000_000
const LEAST_MS = 4_000
const BREAKS_AT = 0.15
/** How much of v2 has come when the power fails. */
const CUT_AT = 0.65

/** Machines that are on their way. */
const MOVING = /\b(?:fetching|resolving)\b/

/** The application, as its owner wants it: always running. */
export const runApp = (client: string, image: string): readonly string[] =>
  [client, "run", "-d", "--name", "app", "--restart", "always", "--network", "none", image]

/** The first version, as it should always be. */
export const pullFirst = async (telling: Telling, { client, type }: Terminal): Promise<void> => {
  const { stage: { link, repository }, screen, facts } = telling
  step(telling, "v1 is pulled over a good link, and runs")
  const began = performance.now()
  await type([client, "pull", `${repository}:v1`], { lines: 2 })
  facts.v1Ms = performance.now() - began
  facts.v1Bytes = link.bytes
  screen.say(`${megabytes(facts.v1Bytes)} in ${seconds(facts.v1Ms)}`)
  await type(runApp(client, `${repository}:v1`))
  await type([client, "logs", "app"])
}

/** The second version, until the power fails. */
export const pullSecond = async (telling: Telling, terminal: Terminal): Promise<void> => {
  const { stage, screen, facts, signal } = telling
  const { link, repository, registry } = stage
  const need = needed(stage)
  facts.rate = Math.min(RATE, (1000 * need) / LEAST_MS)
  step(telling, `v2 is pulled over a bad link: ${megabytes(facts.rate)} a second, and it breaks`)
  link.slow(facts.rate)
  link.cutAfter(BREAKS_AT * need)
  const [start, begun] = [link.bytes, registry.seen.length]
  const come = () => link.bytes - start
  const pulling = terminal.begin([terminal.client, "pull", `${repository}:v2`])
  let ended = false
  void pulling.then(() => (ended = true))
  while (come() < CUT_AT * need && !ended) {
    screen.progress(`${megabytes(come())} of ${megabytes(need)}`)
    await sleep(20)
  }
  if (ended) {
    signal.throwIfAborted()
    terminal.show(await pulling)
    throw new Error("the pull has ended before the power could be cut")
  }
  sayWhatBroke(telling, begun)
  screen.say(`${megabytes(come())} of ${megabytes(need)} have come:`)
  await terminal.type(["dist/balena", "debug", "machines"], { marked: MOVING })
  await cutPower(telling, terminal)
  facts.before = come()
  facts.cutAtBytes = link.bytes
  facts.cutAtRequest = registry.seen.length
  screen.say("whoever was pulling reads:")
  terminal.show(await pulling, { lines: 1 })
}

/** A layer is asked for once, and once more for every time its connection broke. */
const sayWhatBroke = ({ stage, screen }: Telling, begun: number): void => {
  const { changed, registry } = stage
  const again = changed.filter(({ digest }) =>
    registry.seen.slice(begun).some(({ path, range }) => path.endsWith(digest) && range !== null))
  if (again.length === 0) return
  screen.say(`the link broke after ${megabytes(BREAKS_AT * needed(stage))}: the pull asked again, `
    + `for ${count(again.length, "layer")} from the byte it had come to`)
}

const cutPower = async (telling: Telling, { type }: Terminal): Promise<void> => {
  const { stage: { device }, screen } = telling
  step(telling, `The power fails, with ${percent(CUT_AT, 1)} of v2 fetched`)
  await device.cutPower()
  screen.say(device.whyOnlyKilled === null
    ? "every process is gone, and the disk is what it was at that instant"
    : "every process was killed in the same instant")
  screen.say("no engine runs, and the machines are where the journal on that disk says:")
  await type(["dist/balenad", "debug", "machines", "--data-root", device.dataRoot()],
    { marked: MOVING })
}
