import { spawn } from "node:child_process"
import { once } from "node:events"

/** What is typed at a terminal, and after which words. */
export interface Keys {
  readonly cue: string
  readonly keys: string
}

/**
 * Runs a command on a terminal of its own, 33 rows by 77 columns, and types the keys once `cue` is
 * to be read there. The words hold no single quote.
 */
export const onTerminal = async (
  words: readonly string[],
  { cue, keys }: Keys,
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ readonly code: number; readonly shown: string }> => {
  const line = words.map((word) => `'${word}'`).join(" ")
  const terminal = spawn("script", ["-qec", `stty rows 33 cols 77; ${line}`, "/dev/null"], { env })
  const ended = once(terminal, "exit") as Promise<[number]>
  let shown = ""
  let waiting = true
  const type = (): void => {
    if (!waiting || !shown.includes(cue)) return
    waiting = false
    terminal.stdin.write(keys)
  }
  terminal.stdout.setEncoding("utf8").on("data", (text: string) => {
    shown += text
    type()
  })
  type()
  const [code] = await ended
  return { code, shown }
}
