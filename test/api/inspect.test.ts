import { readFileSync } from "node:fs"
import { describe, expect, test } from "vitest"
import type { ContainerView } from "../../src/engine/views/container.ts"
import { agree, checkBody } from "../../src/api/schema/agree.ts"
import { decodeGo } from "../../src/api/schema/decode.ts"
import { CreateBody } from "../../src/api/schema/docker.ts"
import { inspected } from "../../src/api/schema/inspect.ts"
import { humanSpan, listed, statusText } from "../../src/api/schema/list.ts"
import { BUSYBOX, DEFAULTS } from "./agreeing.ts"

/** What a dockerd 20.10 made of these bodies: recorded from its own answers. */
const recorded: Record<string, { body: any; inspect: any; list: any }> = JSON.parse(
  readFileSync(new URL("../fixtures/api/containers.json", import.meta.url), "utf8"),
)
const HOUR_MS = 3_600_000
const NEVER_RAN = {
  pid: 0,
  startTicks: 0,
  startedMs: 0,
  startedMonoMs: 0,
  finishedMs: 0,
  exitCode: 0,
  error: "",
  oomKilled: false,
  restarts: 0,
  network: null,
}

/** A container as it is right after its creation. */
function created({ body: json, inspect }: { body: any; inspect: any }): ContainerView {
  const body = decodeGo(CreateBody, "CreateRequest")(json)
  checkBody(body, DEFAULTS)
  const image = { id: inspect.Image, name: body.Image ?? "", defaults: BUSYBOX }
  const { terms, given } = agree(body, image, inspect.Id, DEFAULTS, () => null)
  return {
    id: inspect.Id,
    name: inspect.Name.slice(1),
    image: inspect.Image,
    imageName: inspect.Config.Image,
    createdMs: Date.parse(inspect.Created),
    terms,
    // As it comes back from its row.
    given: JSON.parse(JSON.stringify(given)),
    status: "created",
    state: NEVER_RAN,
    network: null,
    upMs: 0,
    home: "/data/containers/x",
    lower: () => ["/data/overlay2/1/diff"],
    rootfs: "/run/x/rootfs",
  }
}

/** Members that only an older API has. */
const GONE = ["KernelMemory", "KernelMemoryTCP"]
/** What we say otherwise, and why. */
const HOST_OURS = {
  Init: "Docker leaves it out where nobody spoke of it",
  Annotations: "Docker 20.10 does not know it yet, and drops it",
  SecurityOpt: "Docker adds label=disable for what a privileged container shares, unasked",
  RestartPolicy: "a policy nobody spoke of is `no`, as newer Dockers say",
  MaskedPaths: "newer Dockers mask more",
  Runtime: "Docker 20.10 leaves it out where no HostConfig came at all",
}
const without = (object: Record<string, unknown>, names: readonly string[]) =>
  Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)))

describe.each(Object.entries(recorded))("%s, beside what dockerd shows", (_, docker) => {
  const view = created(docker)
  const ours = JSON.parse(JSON.stringify(inspected(view)))

  test("Config", () => expect(ours.Config).toEqual(docker.inspect.Config))
  test("HostConfig", () => {
    const differs = [...GONE, ...Object.keys(HOST_OURS)]
    expect(without(ours.HostConfig, differs)).toEqual(without(docker.inspect.HostConfig, differs))
  })
  test("State, mounts, paths and the rest", () => {
    const members = [
      "Id", "Path", "Args", "State", "Image", "Name", "RestartCount", "Driver", "Platform",
      "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "ExecIDs",
    ]
    const part = (object: any) => Object.fromEntries(members.map((name) => [name, object[name]]))
    expect(part(ours)).toEqual(part(docker.inspect))
    const places = (mounts: any[]) => mounts.toSorted(
      (a, b) => (a.Destination < b.Destination ? -1 : 1),
    )
    expect(places(ours.Mounts)).toEqual(places(docker.inspect.Mounts))
    expect(Object.keys(ours.NetworkSettings)).toEqual(
      expect.arrayContaining(Object.keys(docker.inspect.NetworkSettings)),
    )
    expect(Object.keys(ours.NetworkSettings.Networks)).toEqual(
      Object.keys(docker.inspect.NetworkSettings.Networks),
    )
  })
  test("in a list", () => {
    const item = JSON.parse(
      JSON.stringify(listed(view, view.imageName, view.createdMs + HOUR_MS, null)),
    )
    const { NetworkSettings: _, Mounts: __, ...rest } = docker.list
    expect(item).toMatchObject(rest)
  })
  test("created again from what inspect says, it is the same", () => {
    const again = created({
      body: { ...ours.Config, HostConfig: ours.HostConfig },
      inspect: docker.inspect,
    })
    expect(JSON.parse(JSON.stringify(inspected(again)))).toEqual(ours)
  })
})

test("how long ago, in Docker's words", () => {
  const hours = [1, 30, 72, 24 * 21, 24 * 90, 24 * 800].map((count) => count * HOUR_MS)
  const spans = [0, 999, 1_000, 59_000, 60_000, 119_000, 3_000_000, ...hours]
  expect(spans.map(humanSpan)).toEqual([
    "Less than a second", "Less than a second", "1 second", "59 seconds", "About a minute",
    "About a minute", "50 minutes", "About an hour", "30 hours", "3 days", "3 weeks", "3 months",
    "2 years",
  ])
})

test("the status as docker ps shows it", () => {
  const view = created(recorded["plain"]!)
  const state = { ...NEVER_RAN, finishedMs: 5_000, exitCode: 3 }
  const all = ["running", "paused", "restarting", "exited", "created", "dead", "removing"] as const
  const texts = all
    .map((status) => statusText({ ...view, status, state, upMs: 61_000 }, 10_000))
  expect(texts).toEqual([
    "Up About a minute", "Up About a minute (Paused)", "Restarting (3) 5 seconds ago",
    "Exited (3) 5 seconds ago", "Created", "Dead", "Removal In Progress",
  ])
})
