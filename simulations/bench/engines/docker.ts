import { request, type IncomingHttpHeaders, type IncomingMessage } from "node:http"
import { outcome, type Outcome } from "../../images/command.ts"

/** An answer whose body is still to be read. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: IncomingMessage
}

/** Asks an engine over its socket; the path begins with `/`, without an API version or with one. */
export const ask = (
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
) =>
  new Promise<Answer>((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-type": "application/json" }
    const options = { socketPath, method, path, headers, ...(signal && { signal }) }
    const asked = request(options, (answer) => {
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: answer })
    })
    asked.on("error", reject)
    asked.end(body === undefined ? undefined : JSON.stringify(body))
  })

/** Reads a body as text. */
export const textOf = async (answer: Answer): Promise<string> => {
  let text = ""
  for await (const chunk of answer.body.setEncoding("utf8")) text += chunk
  return text
}

/** Asks and reads the JSON answer; throws with Docker's message for a status of 400 and more. */
export const askJson = async <A>(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<A> => {
  const answer = await ask(socketPath, method, path, body)
  const text = await textOf(answer)
  if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.status} ${text.trim()}`)
  return (text === "" ? undefined : JSON.parse(text)) as A
}

/** One line of Docker's progress. */
export interface Progress {
  readonly status?: string
  readonly id?: string
  readonly error?: string
  readonly progressDetail?: { readonly current?: number; readonly total?: number }
}

/**
 * POSTs for work that is told of line by line, and returns when the engine says it is done; throws
 * what it says went wrong. `onLine` sees each line. `signal` makes this client go away.
 */
export const posted = async (
  socketPath: string,
  path: string,
  onLine: (line: Progress) => void = () => {},
  signal?: AbortSignal,
): Promise<void> => {
  const what = path.slice(0, path.indexOf("?"))
  const answer = await ask(socketPath, "POST", path, undefined, signal)
  if (answer.status !== 200) throw new Error(`${what}: ${answer.status} ${await textOf(answer)}`)
  let rest = ""
  for await (const chunk of answer.body.setEncoding("utf8")) {
    const lines = (rest + chunk).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) {
      if (line.trim() === "") continue
      const progress = JSON.parse(line) as Progress
      onLine(progress)
      if (progress.error !== undefined) throw new Error(`${what}: ${progress.error}`)
    }
  }
}

/** Pulls `host/repository:tag`, as `posted` does. */
export const pull = (
  socketPath: string,
  reference: string,
  onLine?: (line: Progress) => void,
  signal?: AbortSignal,
): Promise<void> => {
  const colon = reference.lastIndexOf(":")
  const query = new URLSearchParams({
    fromImage: reference.slice(0, colon),
    tag: reference.slice(colon + 1),
  })
  return posted(socketPath, `/images/create?${query}`, onLine, signal)
}

export interface ImageSummary {
  readonly Id: string
  readonly RepoTags: readonly string[] | null
}

export const images = (socketPath: string) =>
  askJson<readonly ImageSummary[]>(socketPath, "GET", "/images/json")

/** Runs the docker CLI against an engine, speaking the API that both engines have. */
export const docker = (
  socketPath: string,
  args: readonly string[],
  input?: string,
): Promise<Outcome> =>
  outcome("docker", ["--host", `unix://${socketPath}`, ...args], {
    env: { DOCKER_API_VERSION: "1.41", DOCKER_CONFIG: "/nonexistent" },
    ...(input !== undefined && { input }),
  })

/** The same, where a failure is an error. */
export const dockerDone = async (socketPath: string, args: readonly string[]): Promise<string> => {
  const { code, stdout, stderr } = await docker(socketPath, args)
  if (code !== 0) throw new Error(`docker ${args.join(" ")}: ${code} ${stderr.trim()}`)
  return stdout
}
