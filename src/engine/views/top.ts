import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { awaited } from "../../kernel/host.ts"
import { programOf } from "../../kernel/probe.ts"
import { Runtime } from "../../kernel/runtime.ts"
import { type Outcome, run } from "../../kernel/spawn.ts"

/** `ps` cannot say what it was asked; its own words. */
export class TopFault extends Schema.TaggedError<TopFault>()("TopFault", {
  cause: Schema.String,
}) {}

export interface Processes {
  readonly titles: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

/** The processes of a running container, as the host's `ps` with these arguments shows them. */
export const processesOf = (id: string, args: readonly string[]) =>
  Effect.gen(function*() {
    const runtime = yield* Runtime
    const ps = programOf("ps")
    if (ps === null) return yield* new TopFault({ cause: "ps: not found: it comes with procps" })
    const pids = new Set((yield* runtime.pids(id)).map(String))
    const { exitCode, stdout, stderr } = yield* ask(ps, args, pids)
    if (exitCode !== 0) return yield* new TopFault({ cause: `ps: ${firstLine(stderr)}` })
    return yield* read(stdout, pids)
  })

/** Of all processes where `ps` (busybox's) does not know how to be asked for some. */
const ask = (ps: string, args: readonly string[], pids: ReadonlySet<string>) =>
  Effect.gen(function*() {
    const call = (more: readonly string[]) =>
      awaited<Outcome>((done) => {
        run({ argv: [ps, ...args, ...more] }, done)
      })
    const some = yield* call(["-q", [...pids].join(",")])
    return some.exitCode === 0 ? some : yield* call([])
  })

const firstLine = (text: string): string => text.trim().split("\n", 1)[0] ?? ""

const words = (line: string): string[] => line.trim().split(/\s+/)

/** Columns are parted by blanks, and the last takes all the rest: the command. */
function read(text: string, pids: ReadonlySet<string>): Effect.Effect<Processes, TopFault> {
  const [head = "", ...lines] = text.split("\n").filter((line) => line.trim() !== "")
  const titles = words(head)
  const pidAt = titles.indexOf("PID")
  if (pidAt < 0) return Effect.fail(new TopFault({ cause: "Couldn't find PID field in ps output" }))
  const rows = lines.map((line) => {
    const fields = words(line)
    return [...fields.slice(0, titles.length - 1), fields.slice(titles.length - 1).join(" ")]
  })
  return Effect.succeed({ titles, rows: rows.filter((row) => pids.has(row[pidAt] ?? "")) })
}
