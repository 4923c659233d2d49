import { needed } from "./stage.ts"
import { step, type Telling } from "./telling.ts"
import type { Terminal } from "./terminal.ts"
import { kilobytes, megabytes, seconds } from "./words.ts"

/** The update once more: as what is new in it, which v2 is then found with. */
export const pullAsDelta = async (telling: Telling, { client, type }: Terminal): Promise<void> => {
  const { stage, screen, facts } = telling
  const { link, repository } = stage
  step(telling, "The same update as a delta")
  screen.say("it is made where both versions are, and put beside v2 in the registry:")
  await type(["dist/balena", "image", "delta", "--push", `${repository}:v1`, `${repository}:v2`],
    { grep: "Normal size" })
  screen.say("a device with v1 only, and nothing but v2's name:")
  await type([client, "rm", "-f", "app"])
  await type([client, "rmi", `${repository}:v2`], { lines: 1 })
  const [start, began] = [link.bytes, performance.now()]
  await type([client, "pull", `${repository}:v2`], { grep: "delta|Status" })
  facts.deltaMs = performance.now() - began
  facts.deltaBytes = link.bytes - start
  screen.say(`${kilobytes(facts.deltaBytes)} in ${seconds(facts.deltaMs)}, instead of `
    + megabytes(needed(stage)))
  await type([client, "run", "--rm", "--network", "none", `${repository}:v2`, "head", "-n", "2",
    "/app/start"])
}
