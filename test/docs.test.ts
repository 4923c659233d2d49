import { existsSync, globSync, readFileSync } from "node:fs"
import { basename, dirname, join, relative } from "node:path"
import { describe, expect, test } from "vitest"
import { NOUNS } from "../machines/words.ts"
import { Database } from "../src/store/database.ts"

const ROOT = join(import.meta.dirname, "..")

/** One document of the repository. */
interface Document {
  /** From the repository's top: `docs/words.md`. */
  readonly path: string
  /** As it is written, and without its blocks of code. */
  readonly text: string
  readonly prose: string
}

const documentOf = (path: string, text: string): Document => ({
  path,
  text,
  prose: text.replace(/^```[^]*?^```$/gm, ""),
})

const documents = ["*.md", "docs/**/*.md"]
  .flatMap((pattern) => globSync(pattern, { cwd: ROOT }))
  .map((path) => documentOf(path, readFileSync(join(ROOT, path), "utf8")))

const named = (path: string): Document => documents.find((one) => one.path === path)!

/** How a heading is named in a link, as the sites that show Markdown make it. */
const anchorOf = (heading: string): string =>
  heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replace(/\s/g, "-")

const anchorsIn = (text: string): readonly string[] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!))

/** Links that lead nowhere: `docs/words.md: no such file: nowhere.md`. */
function deadLinks({ path, prose }: Document): string[] {
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = ""]) => {
    if (/^[a-z]+:/.test(link)) return []
    const [target = "", anchor = ""] = link.split("#")
    const file = target === "" ? path : relative(ROOT, join(ROOT, dirname(path), target))
    if (!existsSync(join(ROOT, file))) return [`${path}: no such file: ${link}`]
    if (anchor === "") return []
    const anchors = anchorsIn(readFileSync(join(ROOT, file), "utf8"))
    return anchors.includes(anchor) ? [] : [`${path}: no such heading: ${link}`]
  })
}

/** What stands in backticks and looks like a path of ours; `path#name` names a symbol. */
const PATH = /^(?:(?:src|machines|test|simulations|scripts|docs|\.ci)\/[^\s#…]*)(?:#\w+)?$/

/** Paths that are not there: `docs/words.md: no such path: src/nowhere.ts`. */
function deadPaths({ path, prose }: Document): string[] {
  return [...prose.matchAll(/`([^`\n]+)`/g)].flatMap(([, text = ""]) => {
    if (!PATH.test(text)) return []
    const [file = "", symbol] = text.split("#")
    const found = globSync(file, { cwd: ROOT })
    if (found.length === 0) return [`${path}: no such path: ${text}`]
    if (symbol === undefined) return []
    const word = new RegExp(`\\b${symbol}\\b`)
    const isThere = found.some((one) => word.test(readFileSync(join(ROOT, one), "utf8")))
    return isThere ? [] : [`${path}: no such symbol: ${text}`]
  })
}

describe("the documents", () => {
  test("link to what is there", () => {
    expect(documents.flatMap(deadLinks)).toEqual([])
  })

  test("name files that are there", () => {
    expect(documents.flatMap(deadPaths)).toEqual([])
  })

  test("tell of every table and column", () => {
    const db = new Database(":memory:")
    const sections = named("docs/journal.md").text.split(/^#+ /m)
    const tables = db.all<{ name: string }>(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )
    const untold = tables.flatMap(({ name }) => {
      const section = sections.find((one) => one.split("\n", 1)[0]!.includes(`\`${name}\``)) ?? ""
      return db.all<{ name: string }>("SELECT name FROM pragma_table_info(?)", name)
        .filter((column) => !section.includes(`\`${column.name}\``))
        .map((column) => `${name}.${column.name}`)
    })
    db.close()
    expect(tables.length).toBeGreaterThan(0)
    expect(untold).toEqual([])
  })

  test("have a word for every noun", () => {
    const { text } = named("docs/words.md")
    expect(NOUNS.filter((noun) => !text.includes(`\`${noun}\``))).toEqual([])
  })
})

describe("decisions", () => {
  const decisions = documents.filter(({ path }) => path.startsWith("docs/decisions/"))
    .toSorted((a, b) => a.path.localeCompare(b.path))

  test("are numbered without a gap, and found from the map", () => {
    const numbers = decisions.map(({ path }) => Number(basename(path).slice(0, 4)))
    expect(numbers).toEqual(decisions.map((_, at) => at + 1))
    const { text } = named("docs/README.md")
    const unlinked = decisions.map(({ path }) => basename(path))
      .filter((name) => !text.includes(`](decisions/${name})`))
    expect(unlinked).toEqual([])
  })

  const paths = decisions.map(({ path }) => path)
  test.each(paths)("%s says what, why, and what was given up", (path) => {
    const { text } = named(path)
    expect(text).toMatch(/^# .+\n/)
    for (const part of ["**Chosen.**", "**Why.**", "**Given up.**"]) expect(text).toContain(part)
  })
})

describe("the checks find what they are for", () => {
  const bad = (text: string) => documentOf("docs/bad.md", text)

  test("a link to nowhere", () => {
    expect(deadLinks(bad("see [it](nowhere.md)")))
      .toEqual(["docs/bad.md: no such file: nowhere.md"])
    expect(deadLinks(bad("see [it](words.md#nothing)"))).toHaveLength(1)
    expect(deadLinks(bad("# A `b`, c\n[it](#a-b-c) [it](words.md#deciding)"))).toHaveLength(1)
    expect(deadLinks(bad("[it](../docs/words.md) [it](https://example.org)"))).toEqual([])
  })

  test("a path to nowhere", () => {
    expect(deadPaths(bad("`src/nowhere.ts`")))
      .toEqual(["docs/bad.md: no such path: src/nowhere.ts"])
    expect(deadPaths(bad("`src/main.ts#nothing`"))).toHaveLength(1)
    expect(deadPaths(bad("`src/{main,nowhere}.ts`, `test/*.nothing`"))).toHaveLength(1)
    expect(deadPaths(bad("`src/main.ts`, `src/main.ts#PARTS`, `src/engine/`, `GET /src/x`")))
      .toEqual([])
    expect(deadPaths(bad("```\n`src/nowhere.ts`\n```"))).toEqual([])
  })
})
