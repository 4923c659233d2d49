import type { Engine } from "./engines/engine.ts"
import { inTurn, Series, type Figure, type Row } from "./figure.ts"
import { pullOnce } from "./pull.ts"
import type { Sitting } from "./sitting.ts"

const LIMIT = 96 * 2 ** 20
/** Who needs so many times the usual has not ended, as far as anybody would wait. */
const PATIENCE = 10

/** Seconds; Infinity where it failed or took too long. */
const squeezed = async (sitting: Sitting, engine: Engine, usualMs: number): Promise<number> => {
  const signal = AbortSignal.timeout(Math.round(PATIENCE * usualMs))
  try {
    const { ms } = await pullOnce(sitting, engine, { limit: LIMIT, signal })
    return ms / 1000
  } catch (fault) {
    sitting.say(`${engine.name} in 96 MiB: ${String(fault).slice(0, 300)}`)
    return Infinity
  }
}

const measure = async (sitting: Sitting, runs: number): Promise<readonly Row[]> => {
  const usual = new Series()
  const tight = new Series()
  const share = new Series()
  for (let n = 0; n < runs; n++) {
    for (const engine of inTurn(sitting.engines, n)) {
      const { ms } = await pullOnce(sitting, engine)
      const limited = await squeezed(sitting, engine, ms)
      sitting.say(`pull in 96 MiB ${n + 1}, ${engine.name}: ${limited.toFixed(2)} s`)
      usual.add(engine.name, ms / 1000)
      tight.add(engine.name, limited)
      share.add(engine.name, limited * 1000 / ms)
    }
  }
  return [
    usual.row("the same pull once more", "s"),
    tight.row("in a memory cgroup of 96 MiB", "s"),
    share.row("of its usual time", "times", {
      text: "ends, under twice",
      met: ({ balena = NaN }) => balena < 2,
    }),
  ]
}

export const squeezeFigure: Figure = {
  name: "squeeze",
  method: `The pull as above, by an engine that lives with all its processes, from its start on, in
a memory cgroup limited to 96 MiB, and without the limit just before.`,
  runs: 3,
  measure,
}
