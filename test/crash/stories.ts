import { createReadStream } from "node:fs"
import { request } from "node:http"
import { pipeline } from "node:stream/promises"
import { ask, askJson, images, pull, textOf } from "../../simulations/bench/engines/docker.ts"
import { BUSYBOX_ARCHIVE } from "../e2e/engine.ts"

/** One request of a story, and what must be true from its answer on. */
export interface Step {
  readonly name: string
  /** Asks until it is done; asking again for what has been done already is no error. */
  readonly ask: (socket: string) => Promise<void>
  /** Throws where what was answered does not hold. */
  readonly holds: (socket: string) => Promise<void>
}

/** What is asked of an engine, in order. */
export interface Story {
  readonly name: string
  /** What the data root holds when it begins; no container runs then. */
  readonly before: readonly Step[]
  readonly steps: readonly Step[]
}

export const IMAGE = "busybox:1.29"

const answered = async (
  socket: string,
  method: string,
  path: string,
  fine: readonly number[],
  body?: unknown,
): Promise<string> => {
  const answer = await ask(socket, method, path, body)
  const text = await textOf(answer)
  if (!fine.includes(answer.status)) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
  return text
}

const upload = (socketPath: string, path: string, file: string) =>
  new Promise<string>((resolve, reject) => {
    const asked = request({ socketPath, method: "POST", path }, (answer) => {
      textOf({ status: answer.statusCode ?? 0, headers: answer.headers, body: answer })
        .then((text) => answer.statusCode === 200 ? resolve(text) : reject(new Error(text)))
        .catch(reject)
    })
    asked.on("error", reject)
    pipeline(createReadStream(file), asked).catch(reject)
  })

const isThere = async (socket: string, tag: string, wanted: boolean): Promise<void> => {
  const found = (await images(socket)).some(({ RepoTags }) => RepoTags?.includes(tag))
  if (found !== wanted) throw new Error(`${tag} is ${found ? "still" : "not"} there`)
}

const load: Step = {
  name: "load",
  ask: async (socket) => {
    const text = await upload(socket, "/images/load", BUSYBOX_ARCHIVE)
    if (!text.includes("Loaded image")) throw new Error(`load: ${text}`)
  },
  holds: (socket) => isThere(socket, IMAGE, true),
}

const removeImage = (tag: string): Step => ({
  name: `remove ${tag}`,
  ask: async (socket) => void (await answered(socket, "DELETE", `/images/${tag}`, [200, 404])),
  holds: (socket) => isThere(socket, tag, false),
})

export const pulled = (reference: string): Step => ({
  name: `pull ${reference}`,
  ask: (socket) => pull(socket, reference),
  holds: (socket) => isThere(socket, reference, true),
})

interface Inspected {
  readonly State: { readonly Status: string; readonly ExitCode: number }
}

/** Throws unless a container is in one of these states: `running`, `exited 3`, `absent` … */
const isIn = (name: string, states: readonly string[]) => async (socket: string) => {
  const answer = await ask(socket, "GET", `/containers/${name}/json`)
  const text = await textOf(answer)
  const { State } = answer.status === 404
    ? { State: { Status: "absent", ExitCode: 0 } }
    : JSON.parse(text) as Inspected
  const state = State.Status === "exited" ? `exited ${State.ExitCode}` : State.Status
  if (!states.includes(state)) throw new Error(`${name} is ${state}, not ${states.join(" or ")}`)
}

/** What one container does, and the code it ends with. */
interface Part {
  readonly name: string
  readonly script: string
  readonly code: number
  readonly said: string
}

const creating = ({ name, script, code }: Part): Step => ({
  name: `create ${name}`,
  ask: async (socket) => {
    const body = { Image: IMAGE, Cmd: ["sh", "-c", script], HostConfig: { NetworkMode: "none" } }
    await answered(socket, "POST", `/containers/create?name=${name}`, [201, 409], body)
  },
  holds: isIn(name, ["created", "running", `exited ${code}`]),
})

const starting = ({ name, code }: Part): Step => ({
  name: `start ${name}`,
  ask: async (socket) => {
    await answered(socket, "POST", `/containers/${name}/start`, [204, 304])
  },
  holds: isIn(name, ["running", `exited ${code}`]),
})

const ends = ({ name, code, said }: Part) => async (socket: string) => {
  await isIn(name, [`exited ${code}`])(socket)
  const log = await answered(socket, "GET", `/containers/${name}/logs?stdout=1&stderr=1`, [200])
  if (!log.includes(said)) throw new Error(`the log of ${name} holds ${JSON.stringify(log)}`)
}

const waiting = (part: Part): Step => ({
  name: `wait for ${part.name}`,
  ask: async (socket) => {
    const { StatusCode } = await askJson<{ StatusCode: number }>(
      socket, "POST", `/containers/${part.name}/wait`)
    if (StatusCode !== part.code) throw new Error(`${part.name} exited with ${StatusCode}`)
  },
  holds: ends(part),
})

const stopping = (part: Part): Step => ({
  name: `stop ${part.name}`,
  ask: async (socket) => {
    await answered(socket, "POST", `/containers/${part.name}/stop`, [204, 304])
  },
  holds: ends(part),
})

const removing = ({ name }: Part): Step => ({
  name: `remove ${name}`,
  ask: async (socket) => {
    await answered(socket, "DELETE", `/containers/${name}?force=1`, [204, 404])
  },
  holds: isIn(name, ["absent"]),
})

const short: Part = {
  name: "short",
  script: "echo all is well; exit 3",
  code: 3,
  said: "all is well",
}
const long: Part = {
  name: "long",
  script: "trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.05; done",
  code: 4,
  said: "bye",
}

/** The stories; the references name an image to be pulled, and one to be pulled and removed. */
export const storiesOf = (large: string, small: string): readonly Story[] => [
  { name: "an image is loaded", before: [], steps: [load] },
  { name: "an image is pulled", before: [], steps: [pulled(large)] },
  { name: "an image is removed", before: [load, pulled(small)], steps: [removeImage(small)] },
  {
    name: "containers run, are stopped and removed",
    before: [load],
    steps: [
      ...[creating(short), starting(short), waiting(short)],
      ...[creating(long), starting(long), stopping(long), removing(long)],
    ],
  },
]
