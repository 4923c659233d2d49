import { ask, askJson } from "../bench/engines/docker.ts"
import { imageId } from "../images/image.ts"
import { waitFor } from "../powercut/scenario.ts"
import { verifyArchive } from "../powercut/verify.ts"
import { fatesSince, nameOf } from "./stage.ts"
import { step, type Telling } from "./telling.ts"
import type { Terminal } from "./terminal.ts"
import { runApp } from "./update.ts"
import { megabytes, seconds } from "./words.ts"

/** The lines of a drawn machine that name its states. */
const STATES = "^  [-*] "
const LIVE = /^ +\*/

interface Inspected {
  readonly State: { readonly Running: boolean }
}

/** The pull goes on by itself, and what ran runs again. `on`: when the power came back. */
export const resume = async (
  telling: Telling,
  { client, type }: Terminal,
  socket: string,
  onMs: number,
): Promise<void> => {
  const { stage, screen, facts } = telling
  const { changed, link, repository } = stage
  const largest = changed.toSorted((one, other) => other.size - one.size)[0]!
  screen.say("nobody asks for it, and the pull goes on; the machine of v2's largest layer:")
  await type(["dist/balena", "debug", "machines", `layer/${nameOf(largest)}`],
    { grep: STATES, marked: LIVE })
  const runs = async (): Promise<boolean> =>
    (await askJson<Inspected>(socket, "GET", "/containers/app/json")).State.Running
  await waitFor("v1 does not run again", runs)
  facts.againMs = performance.now() - onMs
  screen.say(`v1 runs again, ${seconds(facts.againMs)} after the power came back:`)
  await type([client, "ps", "--format", "{{.Names}}: {{.Image}}, {{.Status}}"])
  screen.say("whoever asks for v2 now joins the pull that goes on:")
  await type([client, "pull", `${repository}:v2`], { lines: 2 })
  facts.wholeMs = performance.now() - onMs
  facts.after = link.bytes - facts.cutAtBytes
  facts.fates = fatesSince(stage, facts.cutAtRequest)
}

/** The second version runs, and is what the registry has, to the byte. */
export const runSecond = async (
  telling: Telling,
  { client, type }: Terminal,
  socket: string,
): Promise<void> => {
  const { stage: { changed, repository, v2 }, screen } = telling
  const [layer] = changed
  step(telling, "v2 runs")
  screen.say("its layer, in the journal: begun by the engine's first start, ended by its second")
  await type(["dist/balena", "debug", "machines", `layer/${nameOf(layer!)}`, "--history"])
  const saved = await ask(socket, "GET", `/images/${imageId(v2)}/get`)
  const { bytes } = await verifyArchive(saved.body)
  screen.say(`all ${megabytes(bytes)} of v2 have been read back: every layer's digest is right`)
  await type([client, "rm", "-f", "app"])
  await type(runApp(client, `${repository}:v2`))
  await type([client, "logs", "app"])
}
