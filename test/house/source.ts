import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { parseSync } from "oxc-parser"

const ROOT = join(import.meta.dirname, "../..")

/** Any node of a syntax tree; fields beyond these depend on the type. */
export interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [field: string]: any
}

/** One file of the repository, parsed. */
export interface Source {
  /** From the repository's top: `src/oci/digest.ts`. */
  readonly path: string
  readonly text: string
  /** Every node, parents before children. */
  readonly nodes: readonly Node[]
  /** What it imports, types included: repository paths, or package names. */
  readonly imports: readonly string[]
}

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && "type" in value

function collect(value: unknown, into: Node[]): void {
  if (Array.isArray(value)) {
    for (const item of value) collect(item, into)
  } else if (isNode(value)) {
    into.push(value)
    for (const field of Object.values(value)) collect(field, into)
  }
}

const IMPORTING = new Set([
  "ImportDeclaration", "ExportNamedDeclaration", "ExportAllDeclaration", "ImportExpression",
  "TSImportType",
])

const resolved = (path: string, specifier: string): string =>
  specifier.startsWith(".") ? join(path, "..", specifier) : specifier

/** Parses one text as the file at `path`. */
export function sourceOf(path: string, text: string): Source {
  const { program, errors } = parseSync(path, text)
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]?.message}`)
  const nodes: Node[] = []
  collect(program, nodes)
  const imports = nodes
    .filter(({ type }) => IMPORTING.has(type))
    .map(({ source }) => source?.value as unknown)
    .filter((specifier): specifier is string => typeof specifier === "string")
    .map((specifier) => resolved(path, specifier))
  return { path, text, nodes, imports }
}

/** Every TypeScript file below these directories. */
export const sourcesOf = (...directories: string[]): readonly Source[] =>
  globSync(directories.map((directory) => `${directory}/**/*.ts`), { cwd: ROOT })
    .sort()
    .map((path) => sourceOf(path, readFileSync(join(ROOT, path), "utf8")))

/** The line a node begins on, counted from 1. */
export const lineOf = (source: Source, { start }: { readonly start: number }): number =>
  source.text.slice(0, start).split("\n").length
