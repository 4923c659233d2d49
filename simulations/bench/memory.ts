import { setTimeout as sleep } from "node:timers/promises"
import { ask, dockerDone } from "./engines/docker.ts"
import type { Daemon } from "./engines/engine.ts"
import { atMost, Series, type Figure, type Row } from "./figure.ts"
import { mappedIn, type Mapped } from "./gauges.ts"
import type { Sitting } from "./sitting.ts"

const MB = 1e6
const REQUESTS = 1000
const QUIET_MS = 30_000
const CONTAINERS = 10
/** What a supervisor asks again and again. */
const PATHS = [
  "/_ping", "/version", "/info", "/containers/json?all=1", "/images/json", "/images/busybox/json",
]

const request = async ({ socket, engine }: Daemon, path: string): Promise<number> => {
  const began = performance.now()
  const answer = await ask(socket, "GET", path)
  for await (const _ of answer.body) continue
  if (answer.status !== 200) throw new Error(`${engine.name}: ${path}: ${answer.status}`)
  return performance.now() - began
}

/** The engine's own processes and its containers' keepers; the machine's init is not its. */
const memoryOf = ({ machine }: Daemon): Mapped => mappedIn(machine.cgroup, [machine.init()])

const runContainers = async ({ socket }: Daemon): Promise<void> => {
  for (let n = 0; n < CONTAINERS; n++) {
    await dockerDone(socket, ["run", "--detach", "busybox", "sleep", "1000000"])
  }
}

class Board {
  readonly idle = new Series()
  readonly anonymous = new Series()
  readonly rss = new Series()
  readonly waking = new Series()
  readonly woken = new Series()
  readonly container = new Series()
  readonly containerRss = new Series()

  readonly rows = (): readonly Row[] => [
    this.idle.row("idle, 30 s after 1,000 requests, PSS", "MB", atMost(60, "60 MB")),
    this.anonymous.row("of it anonymous", "MB", atMost(25, "25 MB")),
    this.rss.row("the same, RSS", "MB"),
    this.waking.row("the first request then", "ms"),
    this.woken.row("30 s after it, PSS", "MB"),
    this.container.row("per running container, PSS", "MB", atMost(2, "2 MB")),
    this.containerRss.row("the same, RSS", "MB"),
  ]
}

const measureOnce = async (sitting: Sitting, board: Board): Promise<void> => {
  await using pair = await sitting.pair()
  const all = pair.daemons
  for (const daemon of all) {
    for (let n = 0; n < REQUESTS; n++) await request(daemon, PATHS[n % PATHS.length]!)
  }
  await sleep(QUIET_MS)
  for (const daemon of all) {
    const { pss, anonymous, rss } = memoryOf(daemon)
    const { name } = daemon.engine
    board.idle.add(name, pss / MB)
    board.anonymous.add(name, anonymous / MB)
    board.rss.add(name, rss / MB)
    board.waking.add(name, await request(daemon, "/containers/json"))
  }
  await sleep(QUIET_MS)
  const without = new Map(all.map((daemon) => [daemon, memoryOf(daemon)]))
  for (const daemon of all) await runContainers(daemon)
  await sleep(QUIET_MS)
  for (const daemon of all) {
    const { name } = daemon.engine
    const before = without.get(daemon)!
    const after = memoryOf(daemon)
    board.woken.add(name, before.pss / MB)
    board.container.add(name, (after.pss - before.pss) / CONTAINERS / MB)
    board.containerRss.add(name, (after.rss - before.rss) / CONTAINERS / MB)
  }
}

const measure = async (sitting: Sitting, runs: number): Promise<readonly Row[]> => {
  const board = new Board()
  for (let n = 0; n < runs; n++) {
    await measureOnce(sitting, board)
    sitting.say(`memory ${n + 1} of ${runs}`)
  }
  return board.rows()
}

export const memoryFigure: Figure = {
  name: "memory",
  method: `Sums over all processes of an engine (for dockerd with containerd), each page shared out
among those that map it; no other process maps either engine's program. A container is what ten
\`sleep\`s on the bridge add, 30 s later, to the sum: conmon or containerd's shim, and what the
daemon grows by; the containers' own processes are not in it.`,
  runs: 3,
  measure,
}
