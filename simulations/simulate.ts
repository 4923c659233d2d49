/**
 * `npm run simulate -- --seed S --faults N`: seeds from S on, until N faults have been survived;
 * a thread a core, each takes the next seed. What a seed does hangs on nothing but itself.
 */
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import { attrition, type Run } from "./scenarios/attrition.ts"

const FAULTS_A_SEED = 100

/** What a thread is given; `next[0]` counts the seeds that were taken. */
interface Task {
  readonly first: number
  readonly seeds: number
  readonly faultsMost: number
  readonly next: Int32Array
}

/** What one seed came to. */
type Outcome = { readonly run: Run } | { readonly seed: number; readonly violation: string }

const work = ({ first, seeds, faultsMost, next }: Task, tell: (outcome: Outcome) => void): void => {
  for (let taken = Atomics.add(next, 0, 1); taken < seeds; taken = Atomics.add(next, 0, 1)) {
    const seed = first + taken
    try {
      tell({ run: attrition(seed, faultsMost) })
    } catch (error) {
      const violation = error instanceof Error ? error.stack ?? error.message : String(error)
      return tell({ seed, violation })
    }
  }
}

const total = { faults: 0, cuts: 0, kills: 0, answered: 0, steps: 0 }

const hear = (outcome: Outcome): void => {
  if ("violation" in outcome) {
    process.stdout.write(
      `${outcome.violation}\nviolation; to see it again: ` +
        `npm run simulate -- --seed ${outcome.seed} --faults ${FAULTS_A_SEED}\n`,
    )
    process.exit(1)
  }
  for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += outcome.run[name]
}

/** Ends when the thread has; what broke it, other than a violation, breaks the whole run. */
const employ = (task: Task): Promise<void> =>
  new Promise((resolve, reject) => {
    new Worker(new URL(import.meta.url), { workerData: task })
      .on("message", hear)
      .on("error", reject)
      .on("exit", () => resolve())
  })

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
      faults: { type: "string", default: "10000" },
    },
  })
  const first = Number(values.seed)
  const wanted = Number(values.faults)
  const seeds = Math.ceil(wanted / FAULTS_A_SEED)
  const threads = Math.min(availableParallelism(), seeds)
  process.stdout.write(`seed ${first}, ${wanted} faults, ${threads} threads\n`)
  const begun = performance.now()
  const next = new Int32Array(new SharedArrayBuffer(4))
  const task: Task = { first, seeds, faultsMost: Math.min(FAULTS_A_SEED, wanted), next }
  await Promise.all(Array.from({ length: threads }, () => employ(task)))
  const seconds = (performance.now() - begun) / 1000
  process.stdout.write(
    `${total.faults} faults survived, no violation: ${total.cuts} power cuts, ` +
      `${total.kills} kills, ${total.answered} answered requests, ${total.steps} steps, ` +
      `${seconds.toFixed(1)} s (${Math.round(total.faults / seconds)} faults a second)\n`,
  )
}

if (isMainThread) await main()
else work(workerData as Task, (outcome) => parentPort!.postMessage(outcome))
