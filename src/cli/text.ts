/** Lays rows out in columns, three spaces apart, as the docker CLI does. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) {
    row.forEach((cell, at) => {
      widths[at] = Math.max(widths[at] ?? 0, cell.length)
    })
  }
  const lines = rows.map((row) =>
    row.map((cell, at) => cell.padEnd((widths[at] ?? 0) + 3)).join("").trimEnd())
  return `${lines.join("\n")}\n`
}

/** The first twelve digits of an ID, without its algorithm. */
export const shortId = (id: string): string => id.replace(/^sha256:/, "").slice(0, 12)

const UNITS = ["B", "kB", "MB", "GB", "TB"]

/** Bytes for people, in powers of 1000, at most `digits` significant ones. */
export function size(bytes: number, digits = 3): string {
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${Number(value.toPrecision(digits))}${UNITS[unit]}`
}

const MINUTE_S = 60
const HOUR_S = 60 * MINUTE_S
const DAY_S = 24 * HOUR_S
/** From how many seconds on which words are used, as in Docker's go-units. */
const SPANS: readonly (readonly [fromS: number, inS: number, word: string])[] = [
  [2 * 365 * DAY_S, 365 * DAY_S, "years"],
  [60 * DAY_S, 30 * DAY_S, "months"],
  [14 * DAY_S, 7 * DAY_S, "weeks"],
  [2 * DAY_S, DAY_S, "days"],
  [2 * HOUR_S, HOUR_S, "hours"],
  [2 * MINUTE_S, MINUTE_S, "minutes"],
  [2, 1, "seconds"],
]

/** A span of time for people: `About a minute`, `3 weeks`. */
export function span(seconds: number): string {
  if (seconds < 1) return "Less than a second"
  if (seconds < 2) return "1 second"
  if (seconds >= MINUTE_S && seconds < 2 * MINUTE_S) return "About a minute"
  if (seconds >= HOUR_S && seconds < 2 * HOUR_S) return "About an hour"
  const [, inS, word] = SPANS.find(([fromS]) => seconds >= fromS) ?? [0, 1, "seconds"]
  return `${Math.floor(seconds / inS)} ${word}`
}

/** `2 hours ago`, from seconds since 1970. */
export const ago = (atS: number): string => `${span(Date.now() / 1000 - atS)} ago`

const BAR_WIDTH = 50

/** Docker's progress bar: `[=====>     ]  1.2MB/3MB`. */
export function bar(current: number, total: number): string {
  if (total <= 0) return size(current, 4)
  const done = Math.min(BAR_WIDTH, Math.floor((current / total) * BAR_WIDTH))
  const head = done > 0 ? `${"=".repeat(done - 1)}>` : ""
  return `[${head.padEnd(BAR_WIDTH)}]  ${size(current, 4)}/${size(total, 4)}`
}

/** Part of a template that `fill` understands: `{{.A.B}}`, `{{json .A}}`. */
const HOLE = /\{\{\s*(json\s+)?\.([\w.]*)\s*\}\}/g

/** Fills the fields of a Go template; what is more than a field is refused by name. */
export function fill(template: string, value: unknown): string {
  const more = /\{\{.*?\}\}/.exec(template.replace(HOLE, ""))
  if (more !== null) throw new Error(`this template is not supported: ${more[0]}`)
  return template.replaceAll("\\t", "\t").replaceAll("\\n", "\n").replace(
    HOLE,
    (_, json: string | undefined, path: string) => {
      const found = path.split(".").filter((name) => name !== "")
        .reduce((at: unknown, name) => (Object(at) as Record<string, unknown>)[name], value)
      if (json !== undefined) return JSON.stringify(found ?? null)
      if (found === undefined || found === null) return "<no value>"
      return typeof found === "string" ? found : JSON.stringify(found)
    },
  )
}
