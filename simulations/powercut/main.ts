import { parseArgs } from "node:util"
import { balena } from "../bench/engines/balena.ts"
import { busyboxImage, demoImages } from "../images/busybox.ts"
import { debianImage } from "../images/debian.ts"
import type { BuiltImage } from "../images/image.ts"
import { containerScenario } from "./containers.ts"
import { makeScenario } from "./deltas.ts"
import { loadScenario } from "./load.ts"
import { pullScenario } from "./pull.ts"
import { pushScenario } from "./push.ts"
import { report } from "./report.ts"
import { cleanRigs, openRig } from "./rig.ts"
import type { Finding, Scenario } from "./scenario.ts"
import { diceOf } from "./seeded.ts"

const USAGE = `Usage: npm run powercut -- [--cuts N] [--seed S] [--scenario NAME] [--image NAME]

Cuts the power of a running engine N times and checks what every cut leaves behind.

  --cuts N         how many cuts (20)
  --seed S         draws the same instants again; how far the engine is by then is the machine's
  --scenario NAME  pull | push | load | delta | make | start | stop | remove (pull); delta pulls
                   one of the demonstration's images, make makes it
  --image NAME     large | bench | tools | base | demo: what is pulled, pushed or loaded (large)
  --rate MIB       how fast the registry sends or takes, MiB a second (as fast as it can)
  --log            prints what the engine logged after each cut with a violation
  --clean          only clear away what a killed run left behind
`

/** So many cuts share one run of the workload. */
const CUTS_PER_ROUND = 25

const imageNamed = async (name: string): Promise<BuiltImage> => {
  if (name === "demo") return (await demoImages()).v1
  if (name === "busybox") return busyboxImage()
  if (["base", "tools", "bench", "large"].includes(name)) return debianImage(name as "large")
  throw new Error(`there is no image ${name}`)
}

const scenarioNamed = async (
  name: string,
  image: BuiltImage,
  rate: { rate?: number },
): Promise<Scenario> => {
  if (name === "pull") return pullScenario({ image, ...rate })
  if (name === "delta" || name === "make") return deltaScenario(name, rate)
  if (name === "push") return pushScenario({ image, ...rate })
  if (name === "load") return loadScenario(image)
  if (name === "start" || name === "stop" || name === "remove") return containerScenario(name)
  throw new Error(`there is no scenario ${name}`)
}

const deltaScenario = async (
  name: "delta" | "make",
  rate: { rate?: number },
): Promise<Scenario> => {
  const { v1, v2 } = await demoImages()
  return name === "make"
    ? makeScenario({ old: v1, new: v2 })
    : pullScenario({ image: v2, old: v1, ...rate })
}

/** So many cuts are checked at once, as far as their scenario lets them. */
const CHECKED_AT_ONCE = 2

/** Runs rounds of a scenario until `cuts` cuts have been checked; tells each as it comes. */
export const powercut = async (
  scenario: Scenario,
  cuts: number,
  seed: number,
  onFinding: (finding: Finding, index: number) => void = () => {},
): Promise<readonly Finding[]> => {
  const dice = diceOf(seed)
  const findings: Finding[] = []
  await using rig = await openRig()
  for (let round = 0; findings.length < cuts; round++) {
    const count = Math.min(CUTS_PER_ROUND, cuts - findings.length)
    await using run = await scenario(rig, dice, count, round)
    const left = [...run.trials]
    const work = async () => {
      for (let trial = left.shift(); trial !== undefined; trial = left.shift()) {
        const finding = await trial.check()
        onFinding(finding, findings.push(finding))
        trial.cut.drop()
      }
    }
    await Promise.all(Array.from({ length: CHECKED_AT_ONCE }, work))
  }
  return findings
}

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      cuts: { type: "string", default: "20" },
      seed: { type: "string" },
      scenario: { type: "string", default: "pull" },
      image: { type: "string", default: "large" },
      rate: { type: "string" },
      log: { type: "boolean", default: false },
      clean: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  })
  if (values.help) {
    process.stdout.write(USAGE)
    return 0
  }
  if (values.clean) {
    const names = await cleanRigs()
    process.stdout.write(`cleared away: ${names.join(" ") || "nothing was left"}\n`)
    return 0
  }
  const lacking = process.getuid?.() === 0 ? await balena.missing() : "this needs root"
  if (lacking !== null) throw new Error(lacking)
  const seed = Number(values.seed ?? Date.now() % 1_000_000)
  process.stdout.write(`seed ${seed}\n`)
  const image = await imageNamed(values.image)
  const rate = values.rate === undefined ? {} : { rate: Number(values.rate) * 2 ** 20 }
  const scenario = await scenarioNamed(values.scenario, image, rate)
  const findings = await powercut(scenario, Number(values.cuts), seed, (finding, index) => {
    const verdict = finding.violations.length === 0 ? "ok" : finding.violations.join("; ")
    const { label, kind, refetched } = finding
    const again = refetched === null ? "" : `, ${(refetched / 2 ** 20).toFixed(2)} MiB again`
    process.stdout.write(`${index} ${label}, ${kind}${again}: ${verdict}\n`)
    if (values.log && finding.violations.length > 0) process.stdout.write(`${finding.log}\n`)
  })
  const replay = ["--scenario", values.scenario, "--image", values.image, "--cuts", values.cuts]
  process.stdout.write(report(findings, [...replay, "--seed", String(seed)]))
  return findings.some(({ violations }) => violations.length > 0) ? 1 : 0
}

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130))
  process.exitCode = await main()
}
