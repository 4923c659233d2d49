import { atMost, inTurn, Series, type Figure, type Row } from "./figure.ts"
import type { Sitting } from "./sitting.ts"

const measure = async (sitting: Sitting, runs: number): Promise<readonly Row[]> => {
  const started = new Series()
  await using pair = await sitting.pair()
  for (const daemon of pair.daemons) await daemon.stop()
  for (let n = -1; n < runs; n++) {
    for (const { engine, place: { dataRoot } } of inTurn(pair.daemons, n)) {
      const daemon = await sitting.start(engine, { dataRoot, bridge: true, network: "own" })
      await daemon.stop()
      if (n >= 0) started.add(engine.name, daemon.startMs)
    }
  }
  return [started.row("start to first _ping", "ms", atMost(300, "300 ms"))]
}

export const startFigure: Figure = {
  name: "start",
  method: `From the start of the process, its namespaces included, to the first answered \`_ping\`,
on a data root with one image, with a bridge to be made; the first of each is not counted.`,
  runs: 10,
  measure,
}
