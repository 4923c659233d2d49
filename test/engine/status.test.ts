import { describe, expect, test } from "vitest"
import { statusOf } from "../../src/engine/views/container.ts"
import type { ContainerState } from "../../src/store/containers.ts"
import { type AnyEvent, walk } from "../machines/walk.ts"

const create = (restart: string, retries = 0) => ({
  type: "create", terms: { restart, retries, autoRemove: false }, row: {},
})
const start = { type: "start" }
const started = { type: "started", pid: 7, startTicks: 1, row: {} }
const exited = (exitCode: number) => ({ type: "exited", exitCode, oomKilled: false, ranMs: 5 })
const cleaned = { type: "cleaned" }
const stop = { type: "stop", graceMs: 1 }
const backoff = { type: "xstate.after.backoff.container.restarting" }

/** One that has run before. */
const RAN = { startedMs: 1 } as ContainerState

const ROWS: readonly (readonly [string, readonly AnyEvent[], string])[] = [
  ["runs", [create("no"), start, started], "running"],
  ["ends", [create("no"), start, started, exited(0)], "exited"],
  ["ends, and comes back", [create("always"), start, started, exited(0)], "restarting"],
  ["waits to come back", [create("always"), start, started, exited(0), cleaned], "restarting"],
  ["comes back", [create("always"), start, started, exited(0), cleaned, backoff], "restarting"],
  ["ends well, and comes back on failure only",
    [create("on-failure"), start, started, exited(0)], "exited"],
  ["fails", [create("on-failure"), start, started, exited(1)], "restarting"],
  ["fails once too often",
    [create("on-failure", 1), start, started, exited(1), cleaned, backoff, started, exited(1)],
    "exited"],
  ["was stopped", [create("always"), start, started, stop, exited(137)], "exited"],
]

describe("a container that", () => {
  test.each(ROWS)("%s", (_, events, status) => {
    expect(statusOf(walk("container", events).snapshot, RAN)).toBe(status)
  })
})
