import type { AnyStateMachine, AnyStateNode, StateValue } from "xstate"

/** One state of a machine as data: what it does, where it can go, whether it is live. */
export interface DrawnState {
  /** From the machine's root: `running.up`; empty for the root itself. */
  readonly path: string
  readonly key: string
  readonly type: "atomic" | "compound" | "parallel" | "final" | "history"
  readonly initial: boolean
  readonly live: boolean
  readonly tags: readonly string[]
  readonly entry: readonly string[]
  readonly exit: readonly string[]
  readonly arrows: readonly Arrow[]
  readonly states: readonly DrawnState[]
}

/**
 * A way out of a state. Without targets: something it does and stays; without actions as well: an
 * event that a state above would take, and this one refuses.
 */
export interface Arrow {
  /** `stop`, `after backoff`, `always`, `done`. */
  readonly event: string
  /** Empty: always taken. */
  readonly guard: string
  readonly actions: readonly string[]
  readonly targets: readonly string[]
}

const nameOf = (thing: unknown): string => {
  if (typeof thing === "string") return thing
  const { type, name } = Object(thing) as { type?: string; name?: string }
  return type ?? name ?? ""
}
/** What xstate adds by itself, for delays, is told by the arrow that waits. */
const named = (things: readonly unknown[]): string[] =>
  things.map(nameOf).filter((name) => name !== "" && !name.startsWith("xstate."))

const pathOf = (node: AnyStateNode): string => node.path.join(".")

/** `xstate.after.backoff.a.b` is `after backoff`, `xstate.done.state.a` is `done`. */
function eventOf(type: string): string {
  if (type === "") return "always"
  const [first, second, third] = type.split(".")
  if (first !== "xstate") return type
  return second === "after" ? `after ${third}` : (second ?? type)
}

const arrowsOf = (node: AnyStateNode): Arrow[] =>
  [node.always ?? [], ...node.transitions.values()].flat().map((transition) => ({
    event: eventOf(transition.eventType),
    guard: nameOf(transition.guard ?? ""),
    actions: named(transition.actions),
    targets: (transition.target ?? []).map(pathOf),
  }))

/** The paths of all live states: `running` and `running.up` of `{ running: "up" }`. */
function livePaths(value: StateValue | null, above = ""): string[] {
  if (value === null) return []
  const entries = typeof value === "string" ? [[value, null] as const] : Object.entries(value)
  return entries.flatMap(([key, below]) => {
    const path = above === "" ? key : `${above}.${key}`
    return [path, ...livePaths(below ?? null, path)]
  })
}

/** A machine as data; `value` is a snapshot's, or null to mark no state as live. */
export function describe(machine: AnyStateMachine, value: StateValue | null): DrawnState {
  const live = new Set(livePaths(value))
  const one = (node: AnyStateNode): DrawnState => {
    const parent: AnyStateNode | undefined = node.parent
    const begins = parent?.type === "compound" && parent.initial.target.includes(node)
    return {
      path: pathOf(node),
      key: node.key,
      type: node.type,
      initial: begins,
      live: live.has(pathOf(node)),
      tags: node.tags,
      entry: named(node.entry),
      exit: named(node.exit),
      arrows: arrowsOf(node),
      states: (Object.values(node.states) as AnyStateNode[]).map(one),
    }
  }
  return one(machine.root)
}

export const FORMATS = ["text", "mermaid", "dot"] as const
export type Format = (typeof FORMATS)[number]

/** Draws a machine, its live states marked: a tree of words, Mermaid's stateDiagram-v2, or DOT. */
export function draw(machine: AnyStateMachine, value: StateValue | null, format: Format): string {
  const root = describe(machine, value)
  if (format === "mermaid") return mermaid(root)
  return format === "dot" ? dot(root) : text(root)
}

/** `event [guard] / action, action`: the notation of UML. */
const labelOf = ({ event, guard, actions }: Arrow): string => {
  const condition = guard === "" ? "" : ` [${guard}]`
  const work = actions.length === 0 ? "" : ` / ${actions.join(", ")}`
  return `${event}${condition}${work}`
}

const all = (state: DrawnState): DrawnState[] => [state, ...state.states.flatMap(all)]
const refuses = ({ targets, actions }: Arrow): boolean =>
  targets.length === 0 && actions.length === 0

/** What pictures show between two states: one line, with all labels. The root has none. */
interface Line {
  readonly from: string
  readonly to: string
  readonly labels: readonly string[]
}

function linesOf(root: DrawnState): Line[] {
  const lines = new Map<string, Line & { readonly labels: string[] }>()
  for (const { path, arrows } of all(root)) {
    for (const arrow of path === "" ? [] : arrows.filter((arrow) => !refuses(arrow))) {
      const to = arrow.targets[0] ?? path
      const key = `${path} ${to}`
      const line = lines.get(key) ?? { from: path, to, labels: [] }
      line.labels.push(labelOf(arrow))
      lines.set(key, line)
    }
  }
  return [...lines.values()]
}

/** A live state stands behind an asterisk, another behind a hyphen; targets go from the root. */
function text(root: DrawnState): string {
  const lines: string[] = [root.key]
  const write = (state: DrawnState, indent: string): void => {
    for (const [word, actions] of [["entry", state.entry], ["exit", state.exit]] as const) {
      if (actions.length > 0) lines.push(`${indent}${word} / ${actions.join(", ")}`)
    }
    for (const arrow of state.arrows) {
      const goal = arrow.targets.length === 0 ? "" : ` -> ${arrow.targets.join(", ")}`
      lines.push(`${indent}${labelOf(arrow)}${refuses(arrow) ? " refused" : goal}`)
    }
    for (const child of state.states) {
      const notes = [
        ...(child.initial ? ["first"] : []),
        ...(["parallel", "final", "history"].includes(child.type) ? [child.type] : []),
        ...child.tags.map((tag) => `#${tag}`),
      ]
      const after = notes.length === 0 ? "" : `  (${notes.join(", ")})`
      lines.push(`${indent}${child.live ? "*" : "-"} ${child.key}${after}`)
      write(child, `${indent}    `)
    }
  }
  write(root, "  ")
  return `${lines.join("\n")}\n`
}

/** Identifiers without dots or hyphens, which Mermaid and DOT would read as their own. */
const idOf = (path: string): string => path.replace(/\W/g, "_") || "root"

/** The path of the innermost state that holds both. */
function common(a: string, b: string): string {
  const [left, right] = [a.split(".").slice(0, -1), b.split(".").slice(0, -1)]
  const differs = left.findIndex((key, at) => key !== right[at])
  return left.slice(0, differs < 0 ? undefined : differs).join(".")
}

/** Mermaid draws an arrow well only where it is written: in the state that holds both its ends. */
function mermaid(root: DrawnState): string {
  const lines = ["stateDiagram-v2"]
  const arrows = linesOf(root).map(({ from, to, labels }) => ({
    scope: common(from, to),
    words: `${idOf(from)} --> ${idOf(to)}: ${labels.join("<br/>").replace(/[;#]/g, " ")}`,
  }))
  const write = (state: DrawnState, indent: string): void => {
    for (const [at, child] of state.states.entries()) {
      if (state.type === "parallel" && at > 0) lines.push(`${indent}--`)
      if (child.initial) lines.push(`${indent}[*] --> ${idOf(child.path)}`)
      const declared = `${indent}state "${child.key}" as ${idOf(child.path)}`
      if (child.states.length === 0) lines.push(declared)
      else {
        lines.push(`${declared} {`)
        write(child, `${indent}  `)
        lines.push(`${indent}}`)
      }
      if (child.type === "final") lines.push(`${indent}${idOf(child.path)} --> [*]`)
    }
    const here = arrows.filter(({ scope }) => scope === state.path)
    lines.push(...here.map(({ words }) => `${indent}${words}`))
  }
  write(root, "  ")
  const live = all(root).filter((state) => state.live && state.states.length === 0)
  if (live.length > 0) {
    lines.push("  classDef live fill:#2a7,color:#fff,font-weight:bold")
    lines.push(`  class ${live.map(({ path }) => idOf(path)).join(",")} live`)
  }
  return `${lines.join("\n")}\n`
}

const quoted = (words: string): string => `"${words.replace(/["\\]/g, "\\$&")}"`

/** An arrow to or from a state with states inside ends at its frame, by way of its first state. */
function dot(root: DrawnState): string {
  const states = new Map(all(root).map((state) => [state.path, state]))
  const leaf = (path: string): string => {
    const state = states.get(path)
    const first = state?.states.find((child) => child.initial) ?? state?.states[0]
    return first === undefined ? path : leaf(first.path)
  }
  const frame = (path: string, end: string): string[] =>
    states.get(path)?.states.length ? [`${end}=${quoted(`cluster_${idOf(path)}`)}`] : []
  const lines = [`digraph ${quoted(root.key)} {`, "  compound=true", "  node [shape=box]"]
  const write = (state: DrawnState, indent: string): void => {
    for (const child of state.states) {
      if (child.states.length === 0) {
        const look = child.live ? ' style=filled fillcolor="#22aa77"' : ' style=rounded'
        const border = child.type === "final" ? " peripheries=2" : ""
        lines.push(`${indent}${idOf(child.path)} [label=${quoted(child.key)}${look}${border}]`)
        continue
      }
      lines.push(`${indent}subgraph ${quoted(`cluster_${idOf(child.path)}`)} {`)
      lines.push(`${indent}  label=${quoted(child.key)}${child.live ? " penwidth=3" : ""}`)
      write(child, `${indent}  `)
      lines.push(`${indent}}`)
    }
  }
  write(root, "  ")
  for (const { from, to, labels } of linesOf(root)) {
    const ends = from === to ? [] : [...frame(from, "ltail"), ...frame(to, "lhead")]
    const look = [`label=${quoted(labels.join("\n"))}`, ...ends].join(" ")
    lines.push(`  ${idOf(leaf(from))} -> ${idOf(leaf(to))} [${look}]`)
  }
  return `${[...lines, "}"].join("\n")}\n`
}
