/** `npm run simulate -- --seed S --faults N`: seeds from S on, until N faults are survived. */
import { parseArgs } from "node:util"
import { attrition } from "./scenarios/attrition.ts"

const FAULTS_A_SEED = 100

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    faults: { type: "string", default: "10000" },
  },
})
const first = Number(values.seed)
const wanted = Number(values.faults)
process.stdout.write(`seed ${first}, ${wanted} faults\n`)

const total = { faults: 0, cuts: 0, kills: 0, answered: 0, steps: 0 }
const begun = performance.now()
for (let seed = first; total.faults < wanted; seed++) {
  try {
    const run = attrition(seed, Math.min(FAULTS_A_SEED, wanted - total.faults))
    for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += run[name]
  } catch (violation) {
    process.stdout.write(`${String(violation)}\n`)
    if (violation instanceof Error) process.stdout.write(`${violation.stack}\n`)
    process.stdout.write(
      `violation; to see it again: npm run simulate -- --seed ${seed} --faults ${FAULTS_A_SEED}\n`,
    )
    process.exit(1)
  }
}
const seconds = (performance.now() - begun) / 1000
process.stdout.write(
  `${total.faults} faults survived, no violation: ` +
    `${total.cuts} power cuts, ${total.kills} kills, ` +
    `${total.answered} answered requests, ${total.steps} steps, ${seconds.toFixed(1)} s ` +
    `(${Math.round(total.faults / seconds)} faults a second)\n`,
)
