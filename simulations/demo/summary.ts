import { blobBytes } from "../images/image.ts"
import type { Screen } from "./screen.ts"
import { nameOf, needed, type Fate, type Stage } from "./stage.ts"
import type { Facts } from "./telling.ts"
import { count, grouped, kilobytes, megabytes, percent, seconds } from "./words.ts"

/** What the engine promises: no more than this comes again after a power cut. */
const REFETCH_MAX = 16 * 2 ** 20

/** Says in words and numbers what happened. */
export const summarise = (
  screen: Screen,
  stage: Stage,
  facts: Facts,
  allMs: number,
): void => {
  const { changed, device, v2 } = stage
  const { before, after, v1Bytes, v1Ms, startMs, againMs, wholeMs } = facts
  const need = needed(stage)
  const again = Math.max(0, before + after - need)
  if (again > REFETCH_MAX) throw new Error(`${grouped(again)} bytes were fetched again`)
  const same = v2.layers.length - changed.length
  const row = (name: string, ...lines: readonly string[]) =>
    lines.forEach((line, at) => screen.say(`${(at === 0 ? name : "").padEnd(15)} ${line}`))
  screen.title("\nWhat happened")
  row("v1", `${megabytes(v1Bytes)} fetched in ${seconds(v1Ms)}`)
  row("v2", `shares ${count(same, "layer")} of ${v2.layers.length} with v1: `
    + `${megabytes(need)} of ${megabytes(blobBytes(v2))} to fetch`)
  row("power cut", device.whyOnlyKilled === null
    ? `of the disk and of every process, when ${megabytes(before)} of v2 had come`
    : `SIGKILL of every process, when ${megabytes(before)} of v2 had come`)
  row("resumed", ...facts.fates.map(fateOf), `then ${megabytes(after)} came, and v2 was whole`)
  row("fetched again", `${megabytes(again)}, ${percent(again, before)} of what had come; `
    + "from the beginning it would have been all of it")
  row("as a delta", `v2 was ${kilobytes(facts.deltaBytes)} and ${seconds(facts.deltaMs)}: `
    + `${grouped(Math.round(need / facts.deltaBytes))} times less than its layers`)
  row("times", `after the power came back the engine answered in ${seconds(startMs)}, v1 ran in `
    + `${seconds(againMs)},`, `and v2 was there in ${seconds(wholeMs)}; `
    + `all of this took ${seconds(allMs)}`)
}

const fateOf = ({ layer, from }: Fate): string => {
  const name = `layer ${nameOf(layer)}`
  const size = `${grouped(layer.size)} bytes`
  if (from === null) return `${name}: was whole, and not asked for again`
  if (from === 0) return `${name}: had no checkpoint yet; all its ${size} came again`
  return `${name}: went on from byte ${grouped(from)} of ${size}`
}

const KEEP = `
Keep an engine running

   sudo dist/balenad --data-root /var/lib/balena-engine --host unix:///run/balena-engine.sock

and in another shell, with the docker CLI or with dist/balena, which knows the same words:

   export DOCKER_HOST=unix:///run/balena-engine.sock
   docker pull busybox
   docker run --rm busybox echo it runs
   dist/balena debug machines

Next: npm test proves everything, npm run powercut -- --cuts 20 cuts the power of a pull at random,
README.md says what works and what does not yet.`

/** Ends with how to go on. */
export const sayHowToGoOn = (screen: Screen): void => {
  const [, title = "", ...lines] = KEEP.split("\n")
  screen.title(`\n${title}`)
  for (const line of lines) screen.plain(line)
}
