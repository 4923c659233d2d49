import {
  type AnyMachineSnapshot,
  type AnyStateMachine,
  type AnyStateNode,
  createActor,
} from "xstate"
import { getShortestPaths } from "xstate/graph"
import { expect, test } from "vitest"
import { CATALOG } from "../../machines/catalog.ts"
import { NOUNS } from "../../machines/words.ts"

const source = { kind: "registry" }
const failure = { reason: "damaged", cause: "why" }
const layers = [{ address: "layer/a", source }]
const blob = { digest: "d", size: 1, mediaType: "m" }
const terms = { restart: "on-failure", retries: 1, autoRemove: false }

/** Every event of every machine, with parameters that lead on. */
const EVENTS: Readonly<Record<string, readonly { readonly type: string }[]>> = {
  engine: [
    { type: "boot" }, { type: "drain" }, { type: "spaceShort" }, { type: "recovered" },
    { type: "reclaimed" }, { type: "drained" },
  ],
  image: [
    { type: "pull", reference: "r", platform: null }, { type: "abandon" }, { type: "forget" },
    { type: "tag", row: {} }, { type: "remove", row: {} },
    { type: "load", imageId: "i", layers, row: {} },
    { type: "resolved", imageId: "i", digest: "d", layers, row: {} },
    { type: "present", imageId: "i", digest: "d", row: {} },
    { type: "resolveFailed", ...failure }, { type: "layerReady", from: "layer/a" },
    { type: "layerFailed", from: "layer/a", ...failure },
  ] as { type: string }[],
  layer: [
    { type: "want", source, from: "image/i" },
    { type: "unwant", from: "image/i" },
    { type: "drop" },
    { type: "fetched", bytes: 1, tarBytes: 1, entries: 1, source },
    { type: "fetchFailed", ...failure },
    { type: "dropped" },
    { type: "dropFailed", cause: "why" },
  ] as { type: string }[],
  delta: [
    { type: "make", terms: { base: ["layer/a"], target: ["layer/b"], format: "rsync" } },
    { type: "cancel" },
    { type: "reborn" },
    { type: "encoded", row: {} },
    { type: "encodeFailed", ...failure },
  ] as { type: string }[],
  push: [
    { type: "push", reference: "r", imageId: "i" },
    { type: "abandon" },
    { type: "reborn" },
    { type: "laid", layer: "layer/a", how: "pushed", from: null, place: {}, ...blob },
    { type: "uploaded", layers: [blob] },
    { type: "published", digest: "d", size: 1, row: {} },
    { type: "pushFailed", ...failure },
  ] as { type: string }[],
  container: [
    { type: "create", terms, row: {} },
    { type: "create", terms: { ...terms, autoRemove: true }, row: {} },
    { type: "start" },
    { type: "stop", graceMs: 1 },
    { type: "restart", graceMs: 1 },
    { type: "kill", signal: "SIGKILL", last: true },
    { type: "pause" },
    { type: "resume" },
    { type: "rename", name: "n" },
    { type: "update", terms, row: {} },
    { type: "remove", force: true },
    { type: "boot" },
    { type: "started", pid: 1, startTicks: 1, row: {} },
    { type: "startFailed", exitCode: 127, cause: "why" },
    { type: "exited", exitCode: 1, oomKilled: false, ranMs: 1 },
    { type: "frozen" },
    { type: "thawed" },
    { type: "killed" },
    { type: "killLost" },
    { type: "cleaned" },
    { type: "deleted" },
    { type: "deleteFailed", cause: "why" },
  ] as { type: string }[],
}

const statesOf = (node: AnyStateNode): string[] =>
  [node.id, ...(Object.values(node.states) as AnyStateNode[]).flatMap(statesOf)]

const pathsOf = (machine: AnyStateMachine, noun: string) =>
  getShortestPaths(machine as never, {
    events: EVENTS[noun] as never,
    serializeState: (state: AnyMachineSnapshot) =>
      JSON.stringify([state.value, (state.context as { wish?: string }).wish]),
  } as never) as unknown as { state: AnyMachineSnapshot & { _nodes: AnyStateNode[] } }[]

test.each(NOUNS)("%s: every state can be reached, left, and revived", (noun) => {
  const { machine } = CATALOG[noun]
  const paths = pathsOf(machine, noun)
  const reached = new Set(paths.flatMap(({ state }) => state._nodes.map((node) => node.id)))
  expect(statesOf(machine.root).filter((id) => !reached.has(id))).toEqual([])
  const timed = new Set(["restarting", "stuck"])
  for (const { state } of paths) {
    const word = JSON.stringify(state.value)
    const canLeave = state.status === "done" || timed.has(String(state.value)) ||
      EVENTS[noun]!.some((event) => state.can(event as never))
    expect(canLeave, `${noun} cannot leave ${word}`).toBe(true)
    const json = JSON.parse(JSON.stringify(machine.getPersistedSnapshot(state)))
    expect(createActor(machine, { snapshot: json }).getSnapshot().value).toEqual(state.value)
  }
})
