import { blobBytes } from "../images/image.ts"
import { pullAsDelta } from "./delta.ts"
import { resume, runSecond } from "./recovery.ts"
import { needed, type Stage } from "./stage.ts"
import { noFacts, step, type Facts, type Telling } from "./telling.ts"
import { openTerminal } from "./terminal.ts"
import { pullFirst, pullSecond } from "./update.ts"
import { count, megabytes, seconds } from "./words.ts"

/** Plays it all; answers the figures. */
export const play = async (
  stage: Stage,
  { screen, signal }: Pick<Telling, "screen" | "signal">,
): Promise<Facts> => {
  const telling = { stage, screen, signal, facts: noFacts() }
  introduce(telling)
  const first = await powerOn(telling, "The engine starts")
  await pullFirst(telling, first.terminal)
  await pullSecond(telling, first.terminal)
  const second = await powerOn(telling, "The power is back, and the engine starts on what is there")
  await resume(telling, second.terminal, second.socket, second.onMs)
  await runSecond(telling, second.terminal, second.socket)
  await pullAsDelta(telling, second.terminal)
  return telling.facts
}

const introduce = (telling: Telling): void => {
  const { screen, stage } = telling
  const { changed, device: { whyOnlyKilled }, sizeMiB, v1, v2 } = stage
  screen.say(`v1 and v2 of an application: ${sizeMiB} MiB in ${count(v1.layers.length, "layer")}, `
    + `${megabytes(blobBytes(v1))} and ${megabytes(blobBytes(v2))} to fetch`)
  const same = v2.layers.length - changed.length
  screen.say(`v2 has ${count(same, "layer")} in common with v1: `
    + `${megabytes(blobBytes(v2) - needed(stage))} that need not be fetched again`)
  if (whyOnlyKilled === null) {
    screen.say("the device's disk is an ext4 of its own; a copy of it, taken in one instant, is")
    screen.say("what a power cut in that instant leaves behind")
  } else {
    screen.say("the device's disk is a directory, its power cut a SIGKILL of all processes: what")
    screen.say("the kernel has yet to write survives that. For a real one a disk was wanting:")
    screen.output(whyOnlyKilled)
  }
}

/** Starts the engine on what the disk holds. */
const powerOn = async (telling: Telling, text: string) => {
  const { stage: { device, rig }, screen, facts } = telling
  step(telling, text)
  screen.command(`dist/balenad --data-root ${device.dataRoot()} …`)
  const onMs = performance.now()
  const { socket, startMs } = await device.powerOn()
  facts.startMs = startMs
  screen.command(`export DOCKER_HOST=unix://${socket}`)
  screen.say(`it answers after ${seconds(startMs)}`)
  return { onMs, socket, terminal: await openTerminal(screen, socket, rig.root) }
}
