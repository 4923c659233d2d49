import { describe, expect, test } from "vitest"
import { type AnyEvent, walk } from "./walk.ts"

const create = (restart = "no", autoRemove = false, retries = 0) => ({
  type: "create", terms: { restart, retries, autoRemove }, row: {},
})
const start = { type: "start" }
const started = { type: "started", pid: 7, startTicks: 1, row: {} }
const exited = (exitCode: number, ranMs = 5) => ({
  type: "exited",
  exitCode,
  oomKilled: false,
  ranMs,
})
const cleaned = { type: "cleaned" }
const deleted = { type: "deleted" }
const up = [start, started]
const gone = (code: number, ranMs?: number) => [exited(code, ranMs), cleaned]
const backoff = { type: "xstate.after.backoff.container.restarting" }
const grace = { type: "xstate.after.grace.container.running.stopping" }

type Row = readonly [promise: string, events: readonly AnyEvent[], ends: string]
const stop = { type: "stop", graceMs: 1 }
const pause = { type: "pause" }
const frozen = { type: "frozen" }
const kill = { type: "kill", signal: "SIGKILL", last: true }
const remove = (force: boolean) => ({ type: "remove", force })
const boot = { type: "boot" }

const TABLE: readonly Row[] = [
  ["runs, exits, stays", [create(), ...up, ...gone(3)], "exited"],
  ["run --rm leaves at once and is deleted behind",
    [create("no", true), ...up, exited(0)],
    "leaving",
  ],
  ["run --rm in all", [create("no", true), ...up, ...gone(0), deleted], "removed"],
  ["a stop while it starts waits for the start",
    [create(), start, stop, started],
    "running.stopping",
  ],
  ["rm -f while it starts",
    [create(), start, remove(true), started, ...gone(137), deleted],
    "removed",
  ],
  ["stopped while paused: thawed first, then told",
    [create(), ...up, pause, frozen, stop, { type: "thawed" }],
    "running.stopping",
  ],
  ["killed while paused: thawed, so that it hears",
    [create(), ...up, pause, frozen, kill],
    "running.thawing",
  ],
  ["a freeze that failed left it up", [create(), ...up, pause, { type: "thawed" }], "running.up"],
  ["a start that fails is cleaned, whatever the policy",
    [create("always"), start, { type: "startFailed", exitCode: 127, cause: "" }, cleaned],
    "exited",
  ],
  ["a start while it is being cleaned is honoured",
    [create(), ...up, exited(0), start, cleaned],
    "starting",
  ],
  ["always: comes back", [create("always"), ...up, ...gone(0)], "restarting"],
  ["always: a stop ends it", [create("always"), ...up, stop, ...gone(0)], "exited"],
  ["always: comes back at the next boot though it was stopped",
    [create("always"), ...up, stop, ...gone(0), boot],
    "starting",
  ],
  ["unless-stopped: stays stopped at the next boot",
    [create("unless-stopped"), ...up, stop, ...gone(0), boot],
    "exited",
  ],
  ["unless-stopped: a kill counts as a stop",
    [create("unless-stopped"), ...up, kill, ...gone(137), boot],
    "exited",
  ],
  ["a kill silences the policy",
    [create("always"), ...up, { type: "kill", signal: "SIGTERM", last: true }, ...gone(143)],
    "exited",
  ],
  ["a signal that ends nothing silences nothing",
    [create("always"), ...up, { type: "kill", signal: "SIGHUP", last: false }, ...gone(1)],
    "restarting",
  ],
  ["on-failure: not after success", [create("on-failure"), ...up, ...gone(0)], "exited"],
  ["on-failure: gives up after its retries",
    [create("on-failure", false, 1), ...up, ...gone(1), backoff, started, ...gone(1)],
    "exited",
  ],
  ["stopped between two tries", [create("always"), ...up, ...gone(1), stop], "exited"],
  ["restart: stops, then runs again",
    [create(), ...up, { type: "restart", graceMs: 1 }, ...gone(143)],
    "starting",
  ],
  ["restart of --rm keeps it",
    [create("no", true), ...up, { type: "restart", graceMs: 1 }, ...gone(143)],
    "starting",
  ],
  ["a removal that fails leaves it dead, and can be tried again",
    [create(), remove(false), { type: "deleteFailed", cause: "EBUSY" }, remove(false), deleted],
    "removed",
  ],
  ["a removal that fails is tried again at the next boot",
    [create("no", true), ...up, ...gone(0), { type: "deleteFailed", cause: "EBUSY" }, boot],
    "removing",
  ],
]

describe("container", () => {
  test.each(TABLE)("%s", (_promise, events, ends) => {
    const walked = walk("container", events)
    const refused = walked.lines.filter((line) => line.endsWith("refused"))
    expect(refused.filter((line) => !line.startsWith("boot"))).toEqual([]) // news is never asked
    expect(walked.state).toBe(ends)
  })

  test("what cannot be is refused", () => {
    const refused = (events: AnyEvent[]) => walk("container", events).lines.at(-1)
    expect(refused([create(), ...up, remove(false)])).toBe("remove -> refused")
    expect(refused([create(), stop])).toBe("stop -> refused")
    expect(refused([create(), ...up, start])).toBe("start -> refused")
    expect(refused([create(), pause])).toBe("pause -> refused")
    expect(refused([start])).toBe("start -> refused")
    expect(refused([create(), ...up, pause, frozen, pause])).toBe("pause -> refused")
  })

  test("a stop tells, waits, and kills; each asked for once", () => {
    const { lines } = walk("container", [
      create(),
      ...up,
      { type: "stop", graceMs: 250 },
      grace,
      exited(137),
      cleaned,
    ])
    expect(lines.slice(3)).toEqual([
      "stop -> running.stopping: run.signal{\"signal\":\"stop\"}, +grace=250ms",
      "xstate.after.grace.container.running.stopping -> running.stopping: "
      + "run.signal{\"signal\":\"kill\"}",
      "exited -> cleaning: store.containerExited"
      + "{\"exitCode\":137,\"oomKilled\":false,\"cause\":\"\"}, run.clean, -grace",
      "cleaned -> exited",
    ])
  })

  test("the back-off doubles to a minute, and begins anew after ten seconds of running", () => {
    const delayOf = (line: string) => /\+backoff=(\d+)ms/.exec(line)?.[1]
    const tries = Array.from({ length: 11 }, () => [...gone(1), backoff, started]).flat()
    const long = [...gone(1, 10_000), backoff, started]
    const { lines } = walk("container", [create("always"), ...up, ...tries, ...long])
    expect(lines.map(delayOf).filter((delay) => delay !== undefined)).toEqual([
      "100", "200", "400", "800", "1600", "3200", "6400", "12800", "25600", "51200", "60000", "100",
    ])
  })
})
