/** Why a container did not start, with Docker's exit code for it and Docker's words. */
export interface Refusal {
  readonly exitCode: 125 | 126 | 127
  readonly cause: string
}

const CREATE = "failed to create task for container: OCI runtime create failed"
const PROCESS = `${CREATE}: unable to start container process`
const VICE_VERSA = "Are you trying to mount a directory onto a file (or vice-versa)? " +
  "Check if the specified host path exists and is the expected type"

/**
 * Puts a runtime's complaint into Docker's words, as clients tell 126 and 127 apart by them.
 * Sources: crun 1.8's and runc 1.1's own messages, tried; moby's `daemon/errors.go`.
 * @param text what the runtime said, as conmon hands it on.
 * @param program the first word of the container's command line.
 */
export const refusalOf = (text: string, program: string): Refusal => {
  const said = lowered(plain(text))
  const exec = `${PROCESS}: exec: ${JSON.stringify(program)}`
  if (/executable file `.*` not found|cannot find `.*` in \$PATH/.test(said)) {
    const where = program.includes("/")
      ? `stat ${program}: no such file or directory`
      : "executable file not found in $PATH"
    return { exitCode: 127, cause: `${exec}: ${where}` }
  }
  if (/open executable: (permission denied|operation not permitted|is a directory)/.test(said)) {
    return { exitCode: 126, cause: `${exec}: permission denied` }
  }
  if (/open executable: not a directory/.test(said)) {
    return { exitCode: 127, cause: `${exec}: stat ${program}: not a directory` }
  }
  const cause = said.startsWith("unable to start") ? `${CREATE}: ${said}` : `${PROCESS}: ${said}`
  const hint = /not a directory/.test(said) && !said.includes("chdir") ? `: ${VICE_VERSA}` : ""
  return { exitCode: codeOf(said), cause: `${cause}${hint}` }
}

const codeOf = (said: string): Refusal["exitCode"] => {
  if (/exec: .*(executable file not found|no such file or directory)/.test(said)) return 127
  if (/exec: .*(permission denied|is a directory)/.test(said)) return 126
  return said.includes("not a directory") ? 127 : 125
}

/** The C library's words for an errno begin with a capital; Go's, which clients know, do not. */
const lowered = (text: string): string =>
  text.replace(ERRNO, (words) => words.toLowerCase())

const ERRNO = new RegExp([
  "No such file or directory", "Permission denied", "Operation not permitted", "Not a directory",
  "Is a directory", "Invalid argument", "No such device",
].map((words) => `: ${words}`).join("|"), "g")

/** Does the runtime say that it cannot deal with this machine's cgroups at all? */
export const isUnfit = (text: string): boolean =>
  /cgroups? (in|v\d|mode).*not supported/i.test(text)

/** Takes runc's log line (`… msg="…"`, or JSON) apart; other words stay as they are. */
const plain = (text: string): string => {
  const last = text.trim().split("\n").at(-1) ?? ""
  const quoted = /(?:\bmsg=|"msg":\s*)("(?:[^"\\]|\\.)*")/.exec(last)?.[1]
  const said = quoted === undefined ? last : unquoted(quoted)
  return said.replace(/^runc (create|run|start) failed: /, "")
}

const unquoted = (quoted: string): string => {
  try {
    return JSON.parse(quoted)
  } catch {
    return quoted.slice(1, -1)
  }
}
