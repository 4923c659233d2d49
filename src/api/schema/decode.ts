import type * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import { invalid } from "../faults.ts"

/**
 * Reads JSON by a schema as Go's encoding/json reads it into a struct, which is what clients rely
 * on: a key's case does not matter (an exact match wins), null is absence, what is unknown is left
 * out, and a wrong type is refused by name. Numbers are whole, as every one of Docker's is.
 * Throws `ApiFault`.
 */
export const decodeGo = <S extends Schema.Constraint>(schema: S, name: string) =>
  (value: unknown): S["Type"] => take(schema.ast, value, name) as S["Type"]

type AST = SchemaAST.AST

function take(ast: AST, value: unknown, place: string): unknown {
  if (value === null || value === undefined) return undefined
  switch (ast._tag) {
    case "Objects":
      return takeObject(ast, value, place)
    case "Arrays":
      return takeArray(ast, value, place)
    case "Union": // a word alone, or a list of words
      return typeof value === "string" ? [value] : take(ast.types.at(-1)!, value, place)
    case "Unknown":
      return value
    case "Number":
      return Number.isInteger(value) ? value : refuse(ast, value, place)
    case "String":
    case "Boolean":
      return typeof value === goKinds[ast._tag] ? value : refuse(ast, value, place)
    default:
      throw new Error(`no such thing in Docker's JSON: ${ast._tag}`)
  }
}

function takeObject(ast: SchemaAST.Objects, value: unknown, place: string): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return refuse(ast, value, place)
  }
  const entries = Object.entries(value)
  const values = ast.indexSignatures[0]?.type
  if (values !== undefined) {
    return Object.fromEntries(
      entries.map(([key, member]) => [key, take(values, member, place) ?? zero(values)]),
    )
  }
  const taken: Record<string, unknown> = {}
  for (const { name, type } of ast.propertySignatures) {
    const member = memberOf(entries, String(name))
    const result = take(type, member, `${place.split(".").slice(-2).join(".")}.${String(name)}`)
    if (result !== undefined) taken[String(name)] = result
  }
  return taken
}

/** A member by its name in any case; the exact spelling wins, then the last one. */
function memberOf(entries: readonly (readonly [string, unknown])[], name: string): unknown {
  const exact = entries.find(([key]) => key === name)
  const lower = name.toLowerCase()
  return (exact ?? entries.findLast(([key]) => key.toLowerCase() === lower))?.[1]
}

function takeArray(ast: SchemaAST.Arrays, value: unknown, place: string): unknown {
  const type = ast.rest[0]!
  if (!Array.isArray(value)) return refuse(ast, value, place)
  return value.map((member) => take(type, member, place) ?? zero(type))
}

/** Go's zero value: what null is inside a list or a map. */
const zero = (ast: AST): unknown => {
  switch (ast._tag) {
    case "String":
      return ""
    case "Number":
      return 0
    case "Boolean":
      return false
    case "Arrays":
      return []
    default:
      return {}
  }
}

const goKinds = { String: "string", Boolean: "boolean" } as const

const goType = (ast: AST): string => {
  switch (ast._tag) {
    case "String":
      return "string"
    case "Boolean":
      return "bool"
    case "Number":
      return "int64"
    case "Arrays":
      return `[]${goType(ast.rest[0]!)}`
    case "Objects":
      return ast.indexSignatures.length === 0
        ? "struct"
        : `map[string]${goType(ast.indexSignatures[0]!.type)}`
    default:
      return "string"
  }
}

function refuse(ast: AST, value: unknown, place: string): never {
  const kind = Array.isArray(value)
    ? "array"
    : typeof value === "boolean"
    ? "bool"
    : typeof value === "number" && !Number.isInteger(value)
    ? `number ${value}`
    : typeof value
  const where = place.includes(".") ? `struct field ${place}` : `value`
  const type = goType(ast)
  throw invalid(`invalid JSON: json: cannot unmarshal ${kind} into Go ${where} of type ${type}`)
}
