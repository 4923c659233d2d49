/** One challenge of a `WWW-Authenticate` header: a scheme in lower case, its parameters. */
export interface Challenge {
  readonly scheme: string
  readonly parameters: Readonly<Record<string, string>>
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
const SPACE = /[ \t]*/y
const QUOTED = /"((?:[^"\\]|\\.)*)"/y
/** A value without quotes: a token, and what careless servers write (`realm=https://…`). */
const BARE = /[^\s,"]+/y

/**
 * Reads the challenges of one or several `WWW-Authenticate` headers joined by commas (RFC 9110
 * section 11.6.1). Lenient: what cannot be read ends the list, as a header is only ever a hint.
 */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = []
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const match = pattern.exec(header)
    if (match !== null) at = pattern.lastIndex
    return match
  }
  while (at < header.length) {
    take(SPACE)
    if (header[at] === ",") {
      at += 1
      continue
    }
    const word = take(TOKEN)?.[0]
    if (word === undefined) break
    take(SPACE)
    if (header[at] !== "=") {
      challenges.push({ scheme: word.toLowerCase(), parameters: Object.create(null) })
      continue
    }
    at += 1
    take(SPACE)
    const quoted = take(QUOTED)
    const value = quoted === null ? take(BARE)?.[0] : quoted[1]?.replace(/\\(.)/g, "$1")
    const current = challenges.at(-1)
    if (value === undefined || current === undefined) break
    current.parameters[word.toLowerCase()] ??= value
  }
  return challenges
}
