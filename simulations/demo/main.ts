import { existsSync } from "node:fs"
import { parseArgs } from "node:util"
import { endProcesses, openRig } from "../powercut/rig.ts"
import { Screen } from "./screen.ts"
import { setStage } from "./stage.ts"
import { play } from "./story.ts"
import { sayHowToGoOn, summarise } from "./summary.ts"
import { BALENAD } from "./terminal.ts"

const USAGE = `Usage: npm start [-- --size MIB]

Plays an update of a device over a bad link, and cuts its power in the middle. Needs root. All that
is made lies in a directory below the temporary one, and is gone afterwards.

  --size MIB  how large the two images are, unpacked (140)
`

const SIGNALS = [["SIGINT", 2], ["SIGTERM", 15], ["SIGHUP", 1]] as const

/** What is said of a fault: the step it came in, what it was, and the engine's last words. */
const sayFault = (screen: Screen, fault: unknown, lastWords: string): void => {
  const said = fault instanceof Error ? fault.message : String(fault)
  screen.title(`\nfailed: ${screen.doing}`)
  screen.say(said)
  if (lastWords === "") return
  screen.title("\nthe engine's last words")
  screen.output(lastWords)
}

/** Plays the story within a rig that is taken down whatever happens; answers the exit code. */
const perform = async (screen: Screen, sizeMiB: number, signal: AbortSignal): Promise<number> => {
  await using rig = await openRig()
  // What runs on the device ends at once; whoever waits for it then finds out.
  signal.addEventListener("abort", () => void endProcesses(rig.cgroup).catch(() => {}))
  const beganMs = performance.now()
  let lastWords = (): string => ""
  try {
    screen.title("balenaEngine: an update over a bad link, and a power cut in the middle of it")
    screen.step("A device, a registry, and a link between them")
    screen.say("two images are made on the spot, of busybox and of pieces of the Node this runs on")
    await using stage = await setStage(rig, sizeMiB)
    lastWords = stage.device.lastWords
    const facts = await play(stage, { screen, signal })
    summarise(screen, stage, facts, performance.now() - beganMs)
    sayHowToGoOn(screen)
    return 0
  } catch (fault) {
    if (!signal.aborted) sayFault(screen, fault, lastWords())
    return 1
  }
}

const main = async (): Promise<number> => {
  const { values: { size, help } } = parseArgs({
    options: {
      size: { type: "string", default: "140" },
      help: { type: "boolean", default: false },
    },
  })
  if (help) {
    process.stdout.write(USAGE)
    return 0
  }
  const sizeMiB = Number(size)
  const why = !Number.isInteger(sizeMiB) || sizeMiB < 1
    ? `--size ${size}: it must be a whole number of MiB`
    : process.getuid?.() !== 0
      ? "the demonstration mounts disks and runs containers, which needs root: sudo npm start"
      : existsSync(BALENAD) ? null : "dist/balenad is missing: npm run build"
  if (why !== null) {
    process.stderr.write(`${why}\n`)
    return 1
  }
  const stop = new AbortController()
  let code = 0
  for (const [signal, number] of SIGNALS) {
    process.once(signal, () => {
      code = 128 + number
      stop.abort()
    })
  }
  process.stdout.on("error", () => stop.abort()) // nobody reads any more
  const played = await perform(new Screen(process.stdout, process.env), sizeMiB, stop.signal)
  if (code !== 0) process.stderr.write("\nstopped: nothing of it is left\n")
  return code === 0 ? played : code
}

process.exitCode = await main()
