import { request } from "node:http"
import type { Line } from "./pulling.ts"
import { encoded } from "./pulling.ts"

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
  /** Called with each line; one that answers true goes away. */
  readonly until?: (line: PushLine) => boolean
}

/** Pushes `host/name`, and of it this tag or all, to the end or until the client leaves. */
export const push = (
  socketPath: string,
  name: string,
  tag: string | null,
  { credentials = {}, until = () => false }: PushOptions = {},
): Promise<PushHeard> =>
  new Promise((resolve, reject) => {
    const query = tag === null ? "" : `?tag=${tag}`
    const asked = request({
      socketPath,
      method: "POST",
      path: `/v1.41/images/${name}/push${query}`,
      headers: { "x-registry-auth": encoded(credentials) },
    }, async (answer) => {
      const lines: PushLine[] = []
      let rest = ""
      for await (const chunk of answer.setEncoding("utf8")) {
        const parts = `${rest}${chunk}`.split("\n")
        rest = parts.pop() ?? ""
        for (const part of parts) {
          const line = JSON.parse(part) as PushLine
          lines.push(line)
          if (!until(line)) continue
          asked.destroy()
          return resolve({ status: answer.statusCode ?? 0, lines })
        }
      }
      resolve({ status: answer.statusCode ?? 0, lines })
    })
    asked.on("error", reject)
    asked.end()
  })

/** Statuses of a push, each once in a row and without its numbers. */
export const statusesOf = ({ lines }: PushHeard): readonly string[] =>
  lines.map(({ status, error, aux }) => status ?? error ?? (aux === undefined ? "?" : "aux"))
    .filter((status, at, all) => status !== all[at - 1])
