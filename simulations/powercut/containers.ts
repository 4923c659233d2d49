import { join } from "node:path"
import { balena } from "../bench/engines/balena.ts"
import { askJson, docker, dockerDone } from "../bench/engines/docker.ts"
import { startDaemon } from "../bench/engines/engine.ts"
import { writeArchive } from "../images/archive.ts"
import { busyboxImage } from "../images/busybox.ts"
import { makeDisk, type Cut } from "./disk.ts"
import { allowed, type Outcome, type Policy, type Step } from "./oracle.ts"
import { Cutter, dataRootOf, examine, referenceOf, waitFor } from "./scenario.ts"
import type { Finding, Scenario, Trials } from "./scenario.ts"

/** A life to be cut short: what one container is, and what is asked of it. */
interface Life {
  readonly name: string
  readonly policy: Policy
  readonly steps: readonly Step[]
}

/** How far a life had come. */
interface Lived extends Life {
  readonly answered: number
  /** The next step has been asked for. */
  readonly asked: boolean
}

const POLICIES: readonly Policy[] = ["no", "always", "unless-stopped", "on-failure"]
/** A stop ends the container's process with a code of its own. */
const STOP_CODE = 3
const EXIT_CODE = 7

const STAYS = `trap 'exit ${STOP_CODE}' TERM; while :; do sleep 0.1; done`
const ENDS = `sleep 0.2; exit ${EXIT_CODE}`

const create = { what: "create" } as const
const start = { what: "start" } as const
const exit = { what: "exit", code: EXIT_CODE } as const
const stop = { what: "stop", code: STOP_CODE } as const
const remove = { what: "remove" } as const

/** The lives of each scenario; the part it is about comes with every restart policy. */
const LIVES: Readonly<Record<"start" | "stop" | "remove", readonly (readonly Step[])[]>> = {
  start: [[create, start], [create, start, exit]],
  stop: [[create, start, stop], [create, start, exit]],
  remove: [[create, start, remove], [create, start, stop, remove], [create, remove]],
}

export type ContainerScenario = keyof typeof LIVES

const livesOf = (about: ContainerScenario): readonly Life[] =>
  LIVES[about].flatMap((steps, row) =>
    POLICIES
      // one that ends by itself and comes back is never at rest
      .filter((policy) => policy === "no" || !steps.some(({ what }) => what === "exit"))
      .map((policy) => ({ name: `${about}-${row}-${policy}`, policy, steps })))

/** Carries out one step through the docker CLI; returns when the engine has answered. */
const carryOut = async (socket: string, { name, policy, steps }: Life, step: Step) => {
  const ends = steps.some(({ what }) => what === "exit")
  switch (step.what) {
    case "create":
      return dockerDone(socket, [
        "create", "--name", name, "--restart", policy, "--network", "none", "busybox:powercut",
        "sh", "-c", ends ? ENDS : STAYS,
      ])
    case "start":
      return dockerDone(socket, ["start", name])
    case "exit":
      return dockerDone(socket, ["wait", name])
    case "stop":
      return dockerDone(socket, ["stop", name])
    case "remove":
      return dockerDone(socket, ["rm", "--force", name])
  }
}

/** Lives of containers, two at a time, cut short around the commits of the journal. */
export const containerScenario = (about: ContainerScenario): Scenario =>
  async (rig, dice, count, round) => {
    const stack = new AsyncDisposableStack()
    try {
      const disk = stack.use(await makeDisk(rig.root, { sizeMiB: 512, spaceMiB: 8192 }))
      const archive = join(rig.root, `busybox-${round}.tar`)
      await writeArchive(archive, [{ image: await busyboxImage(), tags: ["busybox:powercut"] }])
      const lived = new Map<string, Lived>()
      const know = (): readonly Lived[] => [...lived.values()]
      const cutter = new Cutter(disk, dice, count, know)
      const dataRoot = dataRootOf(disk.mountPoint)
      const daemon = await startDaemon(rig, balena, { name: `${about}-${round}`, dataRoot })
      await dockerDone(daemon.socket, ["load", "--input", archive])
      {
        using _ = cutter.watchJournal(() => 0.3)
        for (let again = 0; cutter.left > 0; again++) {
          const lives = livesOf(about).map((life) => ({ ...life, name: `${life.name}-${again}` }))
          const half = lives.length >> 1
          await Promise.all([
            liveAll(daemon.socket, lives.slice(0, half), lived),
            liveAll(daemon.socket, lives.slice(half), lived),
          ])
          await removeAll(daemon.socket, lived)
        }
      }
      const common = { rig, reference: await referenceOf(rig, daemon) }
      const trials = cutter.taken.map(({ cut, known }, index) => ({
        cut,
        check: () => check(common, cut, known, `check-${round}-${index}`),
      }))
      return { trials, [Symbol.asyncDispose]: () => stack.disposeAsync() }
    } catch (fault) {
      await stack.disposeAsync()
      throw fault
    }
  }

const liveAll = async (socket: string, lives: readonly Life[], lived: Map<string, Lived>) => {
  for (const life of lives) {
    for (const [answered, step] of life.steps.entries()) {
      lived.set(life.name, { ...life, answered, asked: true })
      await carryOut(socket, life, step)
      lived.set(life.name, { ...life, answered: answered + 1, asked: false })
    }
  }
}

/** Ends a generation: each of its containers gets one more step, and then is known no more. */
const removeAll = async (socket: string, lived: Map<string, Lived>): Promise<void> => {
  for (const life of lived.values()) {
    if (life.steps.at(-1)?.what === "remove") continue
    lived.set(life.name, { ...life, steps: [...life.steps, remove], asked: true })
    await carryOut(socket, life, remove)
  }
  lived.clear()
}

interface Inspected {
  readonly State: { readonly Status: string; readonly ExitCode: number }
}

const outcomeOf = async (socket: string, name: string): Promise<Outcome> => {
  const found = await docker(socket, ["inspect", "--type", "container", name])
  if (found.code !== 0) return "absent"
  const [{ State }] = JSON.parse(found.stdout) as [Inspected]
  return State.Status === "exited" ? `exited ${State.ExitCode}` : State.Status
}

const check = (
  common: Trials,
  cut: Cut,
  known: readonly Lived[],
  name: string,
): Promise<Finding> =>
  examine(common, cut, name, async ({ daemon: { socket } }, draft) => {
    draft.kind = known.some(({ asked }) => asked) ? "something asked" : "at rest"
    for (const life of known) {
      const answered = life.steps.slice(0, life.answered)
      const asked = life.asked ? life.steps[life.answered] ?? null : null
      const right = allowed(life.policy, answered, asked)
      await settles(socket, life.name, right)
        .catch((fault: Error) => draft.violations.push(fault.message))
    }
    draft.violations.push(...await runsNow(socket))
    for (const { Id } of await askJson<readonly { Id: string }[]>(socket, "GET", ALL_CONTAINERS)) {
      await dockerDone(socket, ["rm", "--force", Id])
    }
  })

const ALL_CONTAINERS = "/containers/json?all=1"

/** Waits until a container is found in one of the outcomes that are right. */
const settles = async (socket: string, name: string, right: readonly Outcome[]): Promise<void> => {
  let found: Outcome = ""
  const isRight = async () => {
    found = await outcomeOf(socket, name)
    return right.includes(found)
  }
  await waitFor("", isRight, () => found).catch(() => {
    throw new Error(`${name} is ${found}, not ${right.join(" or ")}`)
  })
}

const runsNow = async (socket: string): Promise<string[]> => {
  const said = await dockerDone(socket, [
    "run", "--rm", "--network", "none", "busybox:powercut", "echo", "it runs",
  ])
  return said === "it runs\n" ? [] : [`a new container said ${JSON.stringify(said)}`]
}
