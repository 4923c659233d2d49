/** `36.6 MB`: units of a thousand, as docker counts. */
export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

/** `19.7 kB` */
export const kilobytes = (bytes: number): string => `${(bytes / 1e3).toFixed(1)} kB`

/** `16,777,216` */
export const grouped = (number: number): string => number.toLocaleString("en-US")

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

export const percent = (part: number, whole: number): string =>
  `${whole === 0 ? 0 : Math.round((100 * part) / whole)} %`

/** `1 layer`, `2 layers`. */
export const count = (number: number, thing: string): string =>
  `${number} ${thing}${number === 1 ? "" : "s"}`

/**
 * Cuts long digests short, as docker does, and the columns of a table to what is then left. The
 * addresses so shortened can be typed.
 */
export const shortened = (text: string): string => {
  const lines = text.trimEnd().replace(/(?:sha256:)?\b([0-9a-f]{12})[0-9a-f]{52}\b/g, "$1")
    .split("\n")
  const rows = lines.map((line) => line.split(/ {2,}/))
  const columns = rows[0]?.length ?? 0
  if (columns < 2 || rows.some((row) => row.length !== columns)) return lines.join("\n")
  const widths = rows[0]!.map((_, at) => Math.max(...rows.map((row) => row[at]!.length)))
  return rows.map((row) => row.map((cell, at) => cell.padEnd(widths[at]!)).join("  ").trimEnd())
    .join("\n")
}
