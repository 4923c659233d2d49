import { assign, setup } from "xstate"
import type { Cargo } from "./image.ts"
import { command } from "./words.ts"

/** What the client fixed at creation and this machine decides on; all else is a row. */
export interface ContainerTerms {
  readonly restart: "no" | "always" | "on-failure" | "unless-stopped"
  /** on-failure: give up after so many in a row; 0 is never. */
  readonly retries: number
  readonly autoRemove: boolean
}

export interface ContainerMemory extends ContainerTerms {
  /** What a client asked for that is not done yet; `stop` also silences the restart policy. */
  readonly wish: "none" | "run" | "stop" | "leave"
  /** A client killed it: the restart policy says nothing about the exit that follows. */
  readonly quiet: boolean
  readonly graceMs: number
  readonly exitCode: number
  /** In a row; the back-off grows with it. */
  readonly failures: number
}

interface Process {
  readonly pid: number
  /** Start time in clock ticks since boot: with the pid it names one process. */
  readonly startTicks: number
}

export type ContainerEvent =
  // a client asks
  | { type: "create"; terms: ContainerTerms; row: Cargo }
  | { type: "start" }
  | { type: "stop"; graceMs: number }
  | { type: "restart"; graceMs: number }
  | { type: "kill"; signal: string; last: boolean } // last: it silences the policy, as in dockerd
  | { type: "pause" }
  | { type: "resume" }
  | { type: "rename"; name: string }
  | { type: "update"; terms: ContainerTerms; row: Cargo }
  | { type: "remove"; force: boolean }
  // the engine has come up
  | { type: "boot" }
  // and could not read what this machine was: what its row says; terms null: it has none
  | { type: "reborn"; terms: ContainerTerms | null; ran: boolean }
  // a hand answers
  | ({ type: "started"; row: Cargo } & Process)
  | { type: "startFailed"; exitCode: number; cause: string }
  | { type: "exited"; exitCode: number; oomKilled: boolean; ranMs: number }
  | { type: "frozen" }
  | { type: "thawed" }
  | { type: "killed" } // the signal is sent, or there was nobody left to take it
  | { type: "killLost" } // nobody knows whether it was sent before the crash
  | { type: "cleaned" }
  | { type: "deleted" }
  | { type: "deleteFailed"; cause: string }

const PLAIN: ContainerTerms = { restart: "no", retries: 0, autoRemove: false }

/** As in dockerd's restart manager: doubled after each failure, and new after a steady run. */
const FIRST_BACKOFF_MS = 100
const LONGEST_BACKOFF_MS = 60_000
const STEADY_MS = 10_000

/** Has its process ended for its restart policy to start it again? */
export const comesBack = (c: ContainerMemory): boolean =>
  c.wish === "none" && !c.quiet &&
  (c.restart === "always" || c.restart === "unless-stopped" ||
    (c.restart === "on-failure" && c.exitCode !== 0 &&
      (c.retries === 0 || c.failures < c.retries)))

const { createMachine } = setup({
  types: {
    context: {} as ContainerMemory,
    events: {} as ContainerEvent,
    tags: {} as "settled" | "running" | "paused",
  },
  actions: {
    // store.*: rows changed inside this very transaction
    "store.containerCreate": command<{ row: Cargo }>(), // refused where the name is taken
    "store.containerRunning": command<Process & { row: Cargo }>(),
    "store.containerExited": command<{ exitCode: number; oomKilled: boolean; cause: string }>(),
    "store.containerRestarting": command(), // counts
    "store.containerRename": command<{ name: string }>(),
    "store.containerUpdate": command<{ row: Cargo }>(),
    "store.containerForget": command(), // frees its name and its image's lease; total if repeated
    // for the hands, after the commit. Whose container? The address rides with every command.
    "run.start": command(), // -> started | startFailed
    // Open as long as the process runs: carried out again, it finds out what became of it.
    "run.wait": command(), // -> exited
    // No answer. It goes to this very process, so that twice does no harm.
    "run.signal": command<{ signal: "stop" | "kill" }>(),
    "run.kill": command<{ signal: string }>(), // once -> killed | killLost
    "run.freeze": command(), // -> frozen, or thawed where it failed: a hand answers what is true
    "run.thaw": command(), // -> thawed | frozen
    // Mounts, links, cgroup: every name follows from the container's id.
    "run.clean": command(), // -> cleaned
    "run.delete": command(), // -> deleted | deleteFailed
    // memory
    agree: assign(({ event }) =>
      event.type === "create" || event.type === "update" || event.type === "reborn"
        ? { ...event.terms }
        : {}),
    wishRun: assign({
      wish: ({ context }) => (context.wish === "leave" ? "leave" : "run"),
      failures: 0,
    }),
    wishAgain: assign({
      wish: ({ context }) => (context.wish === "leave" ? "leave" : "run"),
      graceMs: ({ event, context }) => (event.type === "restart" ? event.graceMs : context.graceMs),
      failures: 0,
    }),
    wishStop: assign({
      wish: ({ context }) => (context.wish === "leave" ? "leave" : "stop"),
      graceMs: ({ event, context }) => (event.type === "stop" ? event.graceMs : context.graceMs),
    }),
    wishLeave: assign({ wish: "leave" }),
    heard: assign({}), // taken, and nothing changes: xstate refuses a transition without an action
    hush: assign({ quiet: true }),
    begin: assign({ wish: "none", quiet: false }),
    fail: assign({ failures: ({ context }) => context.failures + 1 }),
    judge: assign(({ event, context }) =>
      event.type !== "exited"
        ? {}
        : { exitCode: event.exitCode, failures: event.ranMs >= STEADY_MS ? 0 : context.failures }),
  },
  guards: {
    forced: ({ event }) => event.type === "remove" && event.force,
    last: ({ event }) => event.type === "kill" && event.last,
    nameless: ({ event }) => event.type === "reborn" && event.terms === null,
    ran: ({ event }) => event.type === "reborn" && event.ran,
    wanted: ({ context }) => context.wish === "run",
    stopWanted: ({ context }) => context.wish === "stop" || context.wish === "leave",
    // It will not come back: a client said so, or it was to go when its process ends.
    leaving: ({ context: c }) => c.wish === "leave" || (c.autoRemove && c.wish !== "run"),
    quiet: ({ context }) => context.quiet,
    always: ({ context: c }) =>
      c.restart === "always" || (c.restart === "unless-stopped" && c.wish !== "stop" && !c.quiet),
    again: ({ context }) => comesBack(context),
  },
  delays: {
    grace: ({ context }) => context.graceMs,
    backoff: ({ context }) =>
      Math.min(FIRST_BACKOFF_MS * 2 ** (context.failures - 1), LONGEST_BACKOFF_MS),
  },
})

/** What an action is given that is taken on one type of event only. */
interface On<Type extends ContainerEvent["type"]> {
  readonly event: Extract<ContainerEvent, { type: Type }>
}

const renamed = {
  type: "store.containerRename" as const,
  params: ({ event }: On<"rename">) => ({ name: event.name }),
}
const updated = {
  type: "store.containerUpdate" as const,
  params: ({ event }: On<"update">) => ({ row: event.row }),
}
const killIt = {
  type: "run.kill" as const,
  params: ({ event }: On<"kill">) => ({ signal: event.signal }),
}
const kill = [{ guard: "last" as const, actions: ["hush" as const, killIt] }, { actions: killIt }]

/** What is asked while a short hand is at work; honoured on its answer. */
const remembered = {
  stop: { actions: "wishStop" },
  restart: { actions: "wishAgain" },
  remove: { guard: "forced", actions: "wishLeave" },
} as const

/**
 * One container's life. A short hand (start, freeze, clean) is never cancelled: what is asked
 * meanwhile is remembered and honoured once it has answered, as under dockerd's lock per container.
 * `settled` is what requests wait for.
 */
export const container = createMachine({
  id: "container",
  version: "1",
  context: { ...PLAIN, wish: "none", quiet: false, graceMs: 10_000, exitCode: 0, failures: 0 },
  initial: "absent",
  on: {
    rename: { actions: renamed },
    update: { actions: ["agree", updated] },
  },
  states: {
    absent: {
      on: {
        rename: undefined,
        update: undefined,
        reborn: [
          { guard: "nameless", target: "cleaning", actions: "wishLeave" },
          { guard: "ran", target: "running", actions: "agree" }, // what became of it is found out
          { target: "failing", actions: "agree" },
        ],
        create: {
          target: "created",
          actions: [
            "agree",
            { type: "store.containerCreate", params: ({ event }) => ({ row: event.row }) },
          ],
        },
      },
    },
    created: {
      tags: "settled",
      on: { start: "starting", restart: "starting", remove: "removing" },
    },
    starting: {
      entry: ["begin", "run.start"],
      on: {
        ...remembered,
        start: { actions: "heard" }, // asked twice: the same start
        started: {
          target: "running",
          actions: {
            type: "store.containerRunning",
            params: ({ event: { pid, startTicks, row } }) => ({ pid, startTicks, row }),
          },
        },
        startFailed: { // what is half made is cleaned away; no restart policy, as in dockerd
          target: "failing",
          actions: {
            type: "store.containerExited",
            params: ({ event: { exitCode, cause } }) => ({ exitCode, oomKilled: false, cause }),
          },
        },
      },
    },
    running: {
      tags: "running",
      entry: "run.wait",
      on: {
        killed: { actions: "heard" },
        killLost: { actions: "heard" },
        exited: {
          target: "cleaning",
          actions: [
            "judge",
            {
              type: "store.containerExited",
              params: ({ event: { exitCode, oomKilled } }) => ({ exitCode, oomKilled, cause: "" }),
            },
          ],
        },
        remove: { guard: "forced", target: ".stopping", actions: "wishLeave" },
        kill,
      },
      initial: "up",
      states: {
        up: {
          tags: "settled",
          always: [
            { guard: "stopWanted", target: "stopping" },
            { guard: "wanted", target: "stopping" },
          ],
          on: {
            stop: { target: "stopping", actions: "wishStop" },
            restart: { target: "stopping", actions: "wishAgain" },
            pause: "freezing",
          },
        },
        freezing: {
          entry: "run.freeze",
          on: { ...remembered, frozen: "paused", thawed: "up" },
        },
        paused: { // a frozen process takes no signal: it is thawed first
          tags: ["settled", "paused"],
          always: [
            { guard: "stopWanted", target: "thawing" },
            { guard: "wanted", target: "thawing" },
            { guard: "quiet", target: "thawing" },
          ],
          on: { ...remembered, resume: "thawing" },
        },
        thawing: {
          entry: "run.thaw",
          on: { ...remembered, frozen: "paused", thawed: "up" },
        },
        stopping: {
          entry: {
            type: "run.signal",
            params: ({ context }) => ({ signal: context.wish === "leave" ? "kill" : "stop" }),
          },
          after: { grace: { actions: { type: "run.signal", params: { signal: "kill" } } } },
          on: {
            stop: { actions: "wishStop" }, // a second one waits with the first
            restart: { actions: "wishAgain" },
          },
        },
      },
    },
    cleaning: {
      entry: "run.clean",
      always: { guard: "leaving", target: "leaving" },
      on: {
        ...remembered,
        start: { actions: "wishRun" },
        remove: { actions: "wishLeave" },
        cleaned: [
          { guard: "wanted", target: "starting" },
          { guard: "again", target: "restarting" },
          { target: "exited" },
        ],
      },
    },
    failing: {
      entry: "run.clean",
      on: {
        ...remembered,
        start: { actions: "wishRun" },
        remove: { actions: "wishLeave" },
        cleaned: [
          { guard: "leaving", target: "removing" },
          { guard: "wanted", target: "starting" },
          { target: "exited" },
        ],
      },
    },
    leaving: { // gone for every client from the moment its process ended; only its traces are left
      entry: "store.containerForget",
      on: { cleaned: "removing", remove: { actions: "heard" } },
    },
    restarting: {
      tags: "settled",
      entry: ["fail", "store.containerRestarting"], // counted before the delay is reckoned
      after: { backoff: "starting" },
      on: {
        start: { target: "starting", actions: "wishRun" },
        restart: { target: "starting", actions: "wishAgain" },
        stop: { target: "exited", actions: "wishStop" },
        kill: { guard: "last", target: "exited", actions: "wishStop" },
        remove: { guard: "forced", target: "removing" },
      },
    },
    exited: {
      tags: "settled",
      on: {
        start: { target: "starting", actions: "wishRun" },
        restart: { target: "starting", actions: "wishAgain" },
        remove: "removing",
        boot: { guard: "always", target: "starting", actions: "wishRun" },
      },
    },
    removing: {
      entry: "run.delete",
      on: { deleted: "removed", deleteFailed: "dead", remove: { actions: "heard" } },
    },
    // Its row may be gone (it was to go with its process), so that no client could ask again.
    dead: { tags: "settled", on: { remove: "removing", boot: "removing" } },
    removed: { type: "final", entry: "store.containerForget" },
  },
})
