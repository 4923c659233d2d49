import { lineOf, type Node, type Source } from "./source.ts"
import { roomOf } from "./rooms.ts"

interface Ban {
  /** Does this node say what must not be said? */
  readonly says: (node: Node) => boolean
  readonly instead: string
  readonly allowedIn: readonly string[]
}

const isMember = (object: string, property: string) => (node: Node): boolean =>
  node.type === "MemberExpression" && node["object"].name === object
  && node["property"].name === property
const isCall = (name: string) => (node: Node): boolean =>
  node.type === "CallExpression" && node["callee"].name === name
const isNewDate = (node: Node): boolean =>
  node.type === "NewExpression" && node["callee"].name === "Date" && node["arguments"].length === 0
const isCallOf = (name: string) => (node: Node): boolean =>
  node.type === "CallExpression"
  && (node["callee"].name === name || node["callee"].property?.name === name)

const SQL = /\b(SELECT\b.+\bFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM)\b/s
const SCHEMA = /\b(CREATE\s+(UNIQUE\s+)?(TABLE|INDEX)|PRAGMA\s+\w+|SAVEPOINT\s+\w+)\b/
const textOf = (node: Node): string => {
  if (node.type === "Literal") return typeof node["value"] === "string" ? node["value"] : ""
  return node.type === "TemplateElement" ? String(node["value"].raw) : ""
}
const isSql = (node: Node): boolean => SQL.test(textOf(node)) || SCHEMA.test(textOf(node))

/** What a terminal shows is of this moment, and `kernel` is where the moment comes from. */
const CLOCKS = ["kernel", "cli"]
const BANS: Readonly<Record<string, Ban>> = {
  "Date.now": { says: isMember("Date", "now"), instead: "Effect's Clock", allowedIn: CLOCKS },
  "new Date()": { says: isNewDate, instead: "Effect's Clock", allowedIn: CLOCKS },
  "performance.now": {
    says: isMember("performance", "now"), instead: "Effect's Clock", allowedIn: CLOCKS,
  },
  setTimeout: { says: isCall("setTimeout"), instead: "Effect.sleep", allowedIn: ["kernel"] },
  setInterval: { says: isCall("setInterval"), instead: "Effect.repeat", allowedIn: ["kernel"] },
  "Math.random": { says: isMember("Math", "random"), instead: "Effect's Random", allowedIn: [] },
  randomUUID: { says: isCallOf("randomUUID"), instead: "Effect's Random", allowedIn: ["kernel"] },
  randomBytes: { says: isCallOf("randomBytes"), instead: "Effect's Random", allowedIn: ["kernel"] },
  fetch: { says: isCall("fetch"), instead: "src/registry", allowedIn: [] },
  "http.request": {
    says: (node) => isMember("http", "request")(node) || isMember("https", "request")(node),
    instead: "src/api/client.ts or src/registry",
    allowedIn: ["api/client"],
  },
  SQL: { says: isSql, instead: "a method of src/store", allowedIn: ["store"] },
}

const isAllowed = (path: string, { allowedIn }: Ban): boolean =>
  allowedIn.some((name) => name === roomOf(path) || path === `src/${name}.ts`)

/** A name that a file declares itself is not the global one. */
const declares = ({ nodes }: Source, name: string): boolean =>
  nodes.some(({ type, id, local }) =>
    (type === "VariableDeclarator" || type === "FunctionDeclaration" || type === "ImportSpecifier")
    && (id ?? local)?.name === name)

/** Words that belong behind a door: `src/oci/bad.ts:3: Date.now: use Effect's Clock`. */
export const bannedWords = (source: Source): string[] =>
  Object.entries(BANS)
    .filter(([word, ban]) => !isAllowed(source.path, ban) && !declares(source, word))
    .flatMap(([word, ban]) => source.nodes.filter(ban.says).map((node) =>
      `${source.path}:${lineOf(source, node)}: ${word}: use ${ban.instead}`))

/** Rooms where Docker's and OCI's own words are at home; settings reads Docker's daemon.json. */
const FOREIGN = ["api", "oci", "cli"]
/** Headers of HTTP look like Docker's keys, and are not. */
const HEADERS = new Set([
  "Accept", "Authorization", "Connection", "Host", "Location", "Range", "Upgrade", "Date", "Link",
])
const CAPITALISED = /^[A-Z][a-z]+([A-Z][A-Za-z]*)?$/

/** Keys of objects and types with a capital, as Docker's JSON has them. */
export function foreignKeys(source: Source): string[] {
  if (FOREIGN.includes(roomOf(source.path))) return []
  return source.nodes
    .filter(({ type, computed }) =>
      (type === "Property" || type === "TSPropertySignature") && computed !== true)
    .map(({ key, start }) => ({ name: String(key.name ?? key.value), start }))
    .filter(({ name }) => CAPITALISED.test(name) && !HEADERS.has(name))
    .map((node) => `${source.path}:${lineOf(source, node)}: ${node.name} is Docker's word`)
}

const LINES_MAX = 400
const FUNCTION_LINES_MAX = 70
const COLUMNS_MAX = 100
const FUNCTIONS = new Set(["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"])

/** Files, functions and lines that have grown past what one reads at a glance. */
export function tooLong(source: Source): string[] {
  const { path, text, nodes } = source
  const lines = text.trimEnd().split("\n")
  const file = lines.length > LINES_MAX ? [`${path}: ${lines.length} lines: two nouns?`] : []
  const wide = lines.flatMap((line, at) =>
    line.length > COLUMNS_MAX ? [`${path}:${at + 1}: ${line.length} columns`] : [])
  const isTest = path.startsWith("test/") // what `describe` is given holds many tests
  const functions = isTest ? [] : nodes.filter(({ type }) => FUNCTIONS.has(type))
    .map((node) => ({ node, length: text.slice(node.start, node.end).split("\n").length }))
    .filter(({ length }) => length > FUNCTION_LINES_MAX)
    .map(({ node, length }) => `${path}:${lineOf(source, node)}: a function of ${length} lines`)
  return [...file, ...wide, ...functions]
}
