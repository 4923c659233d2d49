import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { askJson } from "../../simulations/bench/engines/docker.ts"
import type { Daemon } from "../../simulations/bench/engines/engine.ts"
import { call } from "../api/tools.ts"
import { whyNoEngine } from "../e2e/engine.ts"
import { differences, shown, within } from "./compare.ts"
import { observe, type Side } from "./observe.ts"
import { openPair, type Pair } from "./pair.ts"
import { type Row, titleOf } from "./row.ts"
import { TABLES } from "./tables/index.ts"

const why = whyNoEngine()
let pair: Pair
let ours: Side
let theirs: Side

interface Image {
  readonly Id: string
  readonly RepoTags: readonly string[]
}

const sideOf = async (daemon: Daemon, shared: string): Promise<Side> => {
  const { dataRoot, execRoot } = daemon.place
  const images = await askJson<Image[]>(daemon.socket, "GET", "/images/json")
  const ids = Object.fromEntries(
    images.flatMap(({ Id, RepoTags }) => RepoTags.map((tag) => [tag, Id.slice("sha256:".length)])),
  )
  return { daemon, shared, ids, own: { paths: [dataRoot, execRoot], images: Object.values(ids) } }
}

const alive = async (socket: string, beganMs: number): Promise<boolean> => {
  const filters = JSON.stringify({ type: ["container"], event: ["create", "destroy"] })
  const span = `since=${beganMs / 1000}&until=${Date.now() / 1000}`
  const path = `/events?${span}&filters=${encodeURIComponent(filters)}`
  const { text } = await call(socket, "GET", path)
  const told = text.trim().split("\n").filter(Boolean).map((line) => JSON.parse(line))
  const ended = new Set(told.filter(({ Action }) => Action === "destroy").map(({ id }) => id))
  return told.some(({ id }) => !ended.has(id))
}

/**
 * Removes what a row has left, and waits until the end of each container has been told: dockerd
 * answers before that, and the next row would be told it.
 */
const tidy = async ({ socket }: Daemon, beganMs: number): Promise<void> => {
  const left = await askJson<{ Id: string }[]>(socket, "GET", "/containers/json?all=1")
  await Promise.all(left.map(({ Id }) => call(socket, "DELETE", `/containers/${Id}?force=1&v=1`)))
  while (await alive(socket, beganMs)) await sleep(20)
}

const compare = async (row: Row, beganMs: number): Promise<void> => {
  const told: string[] = []
  const differing = new Set<string>()
  for (const step of row.steps) {
    const [mine, docker] = await Promise.all([
      observe(ours, row, step, beganMs),
      observe(theirs, row, step, beganMs),
    ])
    for (const { place, ours, theirs } of differences(mine, docker, row.view === "shape")) {
      const known = Object.keys({ ...row.differs, ...row.may })
        .filter((above) => within(place, above))
      for (const above of known) differing.add(above)
      const both = `${place}\n${shown(ours, theirs)}`
      if (known.length === 0 && !told.some((text) => text.endsWith(` ${both}`))) {
        told.push(`${titleOf(step)} ${both}`)
      }
    }
  }
  expect(told.join("\n")).toBe("")
  const same = Object.keys(row.differs ?? {}).filter((place) => !differing.has(place))
  expect(same, "the same by now: the reason has gone").toEqual([])
}

describe.skipIf(why !== null)("beside Docker's own daemon", () => {
  beforeAll(async () => {
    pair = await openPair()
    ours = await sideOf(pair.ours, pair.shared)
    theirs = await sideOf(pair.theirs, pair.shared)
  })
  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]()
  })

  describe.each(Object.entries(TABLES))("%s", (_, rows) => {
    test.each(rows.map((row) => [row.name, row] as const))("%s", async (_, row) => {
      const beganMs = Date.now()
      try {
        await compare(row, beganMs)
      } finally {
        await Promise.all([tidy(pair.ours, beganMs), tidy(pair.theirs, beganMs)])
      }
    })
  })
})
