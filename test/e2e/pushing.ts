import { once } from "node:events"
import { type IncomingMessage, request } from "node:http"
import { encoded, type Line } from "./pulling.ts"

/** A line of a push: the last of each tag has no status. */
export interface PushLine extends Line {
  readonly aux?: { readonly Tag: string; readonly Digest: string; readonly Size: number }
}

/** What a client heard of a push. */
export interface PushHeard {
  readonly status: number
  readonly lines: readonly PushLine[]
}

export interface PushOptions {
  readonly credentials?: Readonly<Record<string, string>>
  /** The client leaves at the first line for which this is true. */
  readonly until?: (line: PushLine) => boolean
}

/** Pushes `host/name`, and of it this tag or all, to the end or until the client leaves. */
export const push = async (
  socketPath: string,
  name: string,
  tag: string | null,
  { credentials = {}, until = () => false }: PushOptions = {},
): Promise<PushHeard> => {
  const asked = request({
    socketPath,
    method: "POST",
    path: `/v1.41/images/${name}/push${tag === null ? "" : `?tag=${tag}`}`,
    headers: { "x-registry-auth": encoded(credentials) },
  })
  asked.end()
  const [answer] = await once(asked, "response") as [IncomingMessage]
  const lines: PushLine[] = []
  let rest = ""
  for await (const chunk of answer.setEncoding("utf8")) {
    const parts = `${rest}${chunk}`.split("\n")
    rest = parts.pop() ?? ""
    lines.push(...parts.map((part) => JSON.parse(part) as PushLine))
    if (lines.some(until)) break
  }
  asked.destroy()
  return { status: answer.statusCode ?? 0, lines }
}

/** Statuses of a push, each once in a row and without its numbers. */
export const statusesOf = ({ lines }: PushHeard): readonly string[] =>
  lines.map(({ status, error, aux }) => status ?? error ?? (aux === undefined ? "?" : "aux"))
    .filter((status, at, all) => status !== all[at - 1])
