import { docker } from "./engines/docker.ts"
import type { Daemon } from "./engines/engine.ts"
import { inTurn, Series, type Aim, type Figure, type Row } from "./figure.ts"
import type { Sitting } from "./sitting.ts"

const MODES = ["bridge", "none"] as const
const AIMS_MS = { bridge: 85, none: 75 } as const
const WARMUPS = 3
/** A disk whose fsync takes longer is one on which the aim is a share of dockerd's time. */
const SLOW_FSYNC_MS = 0.4

/** From the start of the docker CLI to its end. */
const timed = async (daemon: Daemon, mode: string): Promise<number> => {
  const began = performance.now()
  const args = ["run", "--rm", "--network", mode, "busybox", "true"]
  const { code, stderr } = await docker(daemon.socket, args)
  const ms = performance.now() - began
  if (code !== 0) throw new Error(`${daemon.engine.name}: docker run: ${code} ${stderr.trim()}`)
  return ms
}

const aimOf = (mode: keyof typeof AIMS_MS, fsyncMs: number): Aim => ({
  text: `${AIMS_MS[mode]} ms, or a third on a slower disk`,
  met: ({ balena = NaN, dockerd = NaN }) =>
    balena <= AIMS_MS[mode] || (fsyncMs > SLOW_FSYNC_MS && balena <= dockerd / 3),
})

const measure = async (sitting: Sitting, runs: number): Promise<readonly Row[]> => {
  await using pair = await sitting.pair()
  const series = { bridge: new Series(), none: new Series() }
  for (let n = -WARMUPS; n < runs; n++) {
    for (const mode of MODES) {
      for (const daemon of inTurn(pair.daemons, n)) {
        const ms = await timed(daemon, mode)
        if (n >= 0) series[mode].add(daemon.engine.name, ms)
      }
    }
  }
  return MODES.map((mode) =>
    series[mode].row(`docker run --rm busybox true, ${mode}`, "ms", aimOf(mode, sitting.fsyncMs)))
}

export const runFigure: Figure = {
  name: "run",
  method: `The whole docker command, by the same CLI, in turn on both engines, which run beside each
other on an ext4 of their own each; three of each kind are not counted. This engine starts crun,
dockerd its own runc.`,
  runs: 20,
  measure,
}
