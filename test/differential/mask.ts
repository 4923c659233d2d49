const DAY_S = 86_400

/** What is of one engine alone and so masked before two answers are compared. */
export interface Own {
  /** Directories that only this engine has, longest first. */
  readonly paths: readonly string[]
  /** IDs of images, which are the same for both and so stay. */
  readonly images: readonly string[]
}

const SPAN = "(?:Less than a second|About an? (?:minute|hour)|\\d+ (?:second|minute|hour)s?)"
const RULES: readonly (readonly [RegExp, string])[] = [
  [/(?<!sha256:)\b[0-9a-f]{64}\b/g, "<id>"],
  [new RegExp(`\\bUp ${SPAN}`, "g"), "Up <span>"],
  [new RegExp(`\\b${SPAN} ago`, "g"), "<span> ago"],
  [/^\d+: (?=eth0)/gm, "<index>: "],
  [/[ \t]{2,}/g, "  "], // columns are as wide as what is in them
  [/ +$/gm, ""],
]

/**
 * What Docker has worded anew since the version beside us, or asks of its own parts: we say what
 * newer ones say.
 */
const NEWER: readonly (readonly [RegExp, string])[] = [
  [/Invalid filter '/g, "invalid filter '"],
  [/no such image: .+?: (No such image|invalid reference)/g, "$1"],
  [/Invalid IPC mode: /g, "invalid IPC mode: "],
  [
    /failed to create shim task: OCI runtime create failed: runc create failed: (.*): unknown/g,
    "failed to create task for container: OCI runtime create failed: $1",
  ],
]

const isRecent = (ms: number, nowMs: number): boolean => Math.abs(nowMs - ms) < DAY_S * 1000

/** A text without what two engines cannot have in common. */
const maskText = (text: string, own: Own, more: readonly RegExp[]): string => {
  const nowMs = Date.now()
  let masked = text
  for (const path of own.paths) masked = masked.replaceAll(path, "<dir>")
  masked = masked.replace(
    /\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| ?[+-]\d\d:?\d\d(?: [A-Z]+)?)/g,
    (time) => isRecent(timeOf(time), nowMs) ? "<time>" : time,
  )
  masked = masked.replace(/\b[0-9a-f]{12}\b/g, (short) =>
    own.images.some((id) => id.startsWith(short)) ? short : "<short>")
  for (const [pattern, instead] of [...RULES, ...NEWER]) masked = masked.replace(pattern, instead)
  for (const pattern of more) masked = masked.replace(pattern, "<masked>")
  return masked
}

/** Reads a time as JSON has it, or as Go prints it. */
const timeOf = (text: string): number =>
  Date.parse(text.replace(/ [A-Z]+$/, "").replace(" ", "T").replace(" ", ""))

/** Seconds, milliseconds or nanoseconds of about now. */
const isRecentNumber = (value: number): boolean =>
  [1000, 1, 1e-6].some((factor) => isRecent(value * factor, Date.now()))

/** A value without what two engines cannot have in common. */
export const maskValue = (value: unknown, own: Own, more: readonly RegExp[] = []): unknown => {
  if (typeof value === "string") return maskText(value, own, more)
  if (typeof value === "number") return isRecentNumber(value) ? "<time>" : value
  if (Array.isArray(value)) return value.map((each) => maskValue(each, own, more))
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) =>
      [maskText(key, own, more), maskValue(each, own, more)]),
  )
}
