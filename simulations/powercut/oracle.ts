/**
 * What a client may expect of a container after a power cut: a small model of Docker's rules, fed
 * with what was asked and what was answered. It knows nothing of how the engine works.
 */
export type Policy = "no" | "always" | "unless-stopped" | "on-failure"

/** What was asked of a container, in order; each ends before the next one begins. */
export type Step =
  | { readonly what: "create" }
  | { readonly what: "start" }
  /** It ended by itself, and a `wait` was answered. */
  | { readonly what: "exit"; readonly code: number }
  /** A stop, after which it ended with this code. */
  | { readonly what: "stop"; readonly code: number }
  | { readonly what: "remove" }

/** How a container may be found: `running`, `created`, `absent` or `exited N`. */
export type Outcome = string

/** The exit code of a process that went with the power. */
const LOST = 255

const returns = (policy: Policy, code: number): boolean =>
  policy === "always" || policy === "unless-stopped" || (policy === "on-failure" && code !== 0)

/** The outcomes once this step was answered; `steps` are those before it. */
const after = (policy: Policy, step: Step): readonly Outcome[] => {
  switch (step.what) {
    case "create":
      return ["created"]
    case "start":
      return returns(policy, LOST) ? ["running"] : [`exited ${LOST}`]
    case "exit":
      return returns(policy, step.code) ? ["running"] : [`exited ${step.code}`]
    case "stop":
      // dockerd starts what is to run always when it starts itself, stopped or not
      return policy === "always" ? ["running"] : [`exited ${step.code}`]
    case "remove":
      return ["absent"]
  }
}

/**
 * The outcomes that are right after a reboot: of `answered` steps the last one holds; where another
 * was `asked` and not answered yet, it may have happened, or not, or half.
 */
export const allowed = (
  policy: Policy,
  answered: readonly Step[],
  asked: Step | null,
): readonly Outcome[] => {
  const last = answered.at(-1)
  const before = last === undefined ? ["absent"] : after(policy, last)
  if (asked === null) return before
  return [...new Set([...before, ...after(policy, asked), ...halfDone(policy, asked)])]
}

const halfDone = (policy: Policy, asked: Step): readonly Outcome[] => {
  // a start that was promised is kept after the reboot
  if (asked.what === "start") return ["running", `exited ${LOST}`]
  // told to stop, and then the power went: nobody saw how it ended
  if (asked.what === "stop" || asked.what === "exit") {
    return policy === "always" ? ["running"] : [`exited ${LOST}`]
  }
  // a forced removal ends it first
  return asked.what === "remove" ? [`exited ${LOST}`] : []
}
